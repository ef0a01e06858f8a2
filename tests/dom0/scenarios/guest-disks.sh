# A guest's disk in QEMU's format: Debian's QEMU is the back end. What was written before a reboot is there after it.
# The same on a raw disk beside it, which is dom0's kernel's work.
. /oxen/lib/guests.sh
start_tools
# A disk is there soon after the guest is.
mounted='for i in 1 2 3 4 5 6 7 8 9 10; do [ -b /dev/$d ] && break; sleep 1; done; mkdir -p /mnt/$d && mount -t ext4 /dev/$d /mnt/$d'

cp $files/empty.qcow2 /tmp/disk.qcow2
truncate -s 64M /tmp/disk.img
check "create with a qcow2 disk and a raw one" create disks \
    "disk = [ 'format=qcow2, vdev=xvda, access=rw, target=/tmp/disk.qcow2', 'format=raw, vdev=xvdb, access=rw, target=/tmp/disk.img' ]"
# Nothing below can hold without it.
domid disks >/dev/null || { evidence; return; }
check "QEMU is the back end of one" sh -c "[ -n \"\$(xenstore-list /local/domain/0/backend/qdisk/$(domid disks))\" ]"
check "the kernel is the other's" sh -c "[ -n \"\$(xenstore-list /local/domain/0/backend/vbd/$(domid disks))\" ]"
check "make file systems" in_guest disks "for d in xvda xvdb; do /sbin/mke2fs -q -t ext4 /dev/\$d && $mounted || exit 1; done"
# The same contents on both, so that each is the other's witness.
check "write" in_guest disks 'dd if=/dev/urandom of=/mnt/xvda/file bs=64k count=64 2>/dev/null && cp /mnt/xvda/file /mnt/xvdb && sync'
sum() { in_guest disks 'cat /mnt/xvd[ab]/file | md5sum' | sed '/^$/d'; }
before=$(sum)
# What is on the disk, not in memory.
check "unmount" in_guest disks 'umount /mnt/xvda /mnt/xvdb'
check "the file grew" sh -c '[ "$(stat -c %s /tmp/disk.qcow2)" -gt 4194304 ]'
was=$(domid disks)
rm "$(log_of disks)"
check "reboot" xl reboot disks
check "it comes back" ready disks
check "as another domain" [ "$(domid disks)" != "$was" ]
check "mount" in_guest disks "for d in xvda xvdb; do $mounted || exit 1; done"
check "both files are equal" in_guest disks 'cmp /mnt/xvda/file /mnt/xvdb/file'
check "the files are as they were" prints "$before" sum
check "unmount" in_guest disks 'umount /mnt/xvda /mnt/xvdb'
check "shut down" xl shutdown -w disks
check "gone" gone disks
check "QEMU is gone" within 60 sh -c '! pidof xen-qemu-system-i386'
check "no loop device is left" sh -c '[ -z "$(losetup -a)" ]'
check "all invariants hold" checker
[ $failures = 0 ] || evidence
