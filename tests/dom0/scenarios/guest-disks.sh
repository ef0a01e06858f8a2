# A guest's disks in QEMU's format and as a VHD: Debian's QEMU is the back end. What was written before a reboot is there
# after it. The same on a raw disk beside them, which is dom0's kernel's work.
. /oxen/lib/guests.sh
start_tools
# A disk is there soon after the guest is.
mounted='for i in 1 2 3 4 5 6 7 8 9 10; do [ -b /dev/$d ] && break; sleep 1; done; mkdir -p /mnt/$d && mount -t ext4 /dev/$d /mnt/$d'

cp $files/empty.qcow2 /tmp/disk.qcow2
cp $files/empty.vhd /tmp/disk.vhd
truncate -s 64M /tmp/disk.img
check "create with disks: qcow2, raw, VHD" create disks \
    "disk = [ 'format=qcow2, vdev=xvda, access=rw, target=/tmp/disk.qcow2', 'format=raw, vdev=xvdb, access=rw, target=/tmp/disk.img', 'format=vhd, vdev=xvdc, access=rw, target=/tmp/disk.vhd' ]"
# Nothing below can hold without it.
domid disks >/dev/null || { evidence; return; }
check "QEMU is the back end of two" sh -c "[ \$(xenstore-list /local/domain/0/backend/qdisk/$(domid disks) | wc -l) = 2 ]"
check "the kernel is the other's" sh -c "[ -n \"\$(xenstore-list /local/domain/0/backend/vbd/$(domid disks))\" ]"
check "make file systems" in_guest disks "for d in xvda xvdb xvdc; do /sbin/mke2fs -q -t ext4 /dev/\$d && $mounted || exit 1; done"
# The same contents on all, so that each is the others' witness.
check "write" in_guest disks 'dd if=/dev/urandom of=/mnt/xvda/file bs=64k count=64 2>/dev/null && cp /mnt/xvda/file /mnt/xvdb && cp /mnt/xvda/file /mnt/xvdc && sync'
sum() { in_guest disks 'cat /mnt/xvd[abc]/file | md5sum' | sed '/^$/d'; }
before=$(sum)
# What is on the disk, not in memory.
check "unmount" in_guest disks 'umount /mnt/xvda /mnt/xvdb /mnt/xvdc'
check "the files grew" sh -c 'for file in disk.qcow2 disk.vhd; do [ "$(stat -c %s /tmp/$file)" -gt 4194304 ] || exit 1; done'
was=$(domid disks)
rm "$(log_of disks)"
check "reboot" xl reboot disks
check "it comes back" ready disks
check "as another domain" [ "$(domid disks)" != "$was" ]
check "mount" in_guest disks "for d in xvda xvdb xvdc; do $mounted || exit 1; done"
check "the files are equal" in_guest disks 'cmp /mnt/xvda/file /mnt/xvdb/file && cmp /mnt/xvda/file /mnt/xvdc/file'
check "the files are as they were" prints "$before" sum
check "unmount" in_guest disks 'umount /mnt/xvda /mnt/xvdb /mnt/xvdc'
check "shut down" xl shutdown -w disks
check "gone" gone disks
check "QEMU is gone" within 60 sh -c '! pidof xen-qemu-system-i386'
check "no loop device is left" sh -c '[ -z "$(losetup -a)" ]'
check "all invariants hold" checker
[ $failures = 0 ] || evidence
