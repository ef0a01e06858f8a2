# A guest that starts as most do: a boot loader in the guest finds kernel, ramdisk and command line on the guest's own disk.
. /oxen/lib/guests.sh
start_tools

# disk FILE KERNEL: a disk with one file system, as an installation makes it. (busybox has a mke2fs that cannot, hence the path.)
disk() {
    mkdir -p /system/boot/grub
    ln -f "$2" /system/boot/vmlinuz
    ln -f "$files/initrd" /system/boot/initrd.img
    {
        echo "set timeout=0"
        echo "menuentry Debian {"
        echo "    linux /boot/vmlinuz console=hvc0 loglevel=4 panic=-1 from=disk"
        echo "    initrd /boot/initrd.img"
        echo "}"
    } >/system/boot/grub/grub.cfg
    truncate -s 96M "$1" && /sbin/mke2fs -q -t ext4 -d /system "$1"
}
check "a disk to boot from" disk /tmp/grub.img "$files/stock"
seconds() { cut -d. -f1 /proc/uptime; }
began=$(seconds)
check "create with GRUB as the kernel" create loader "kernel = '$files/grub'" "ramdisk = ''" "cmdline = ''" "disk = [ 'file:/tmp/grub.img,xvda,w' ]"
# Nothing below can hold without it.
[ $failures = 0 ] || { evidence; return; }
say "seconds to userspace: $(($(seconds) - began))"
check "GRUB started it" in_guest loader 'grep -q from=disk /proc/cmdline'
check "as a PV guest" prints "xen PV" in_guest loader 'echo $(cat /sys/hypervisor/type /sys/hypervisor/guest_type)'
check "its disk is there" in_guest loader 'mount -t ext4 /dev/xvda /mnt && [ -f /mnt/boot/grub/grub.cfg ]'
check "and can be written" in_guest loader 'echo written >/mnt/note && sync && umount /mnt'
check "all invariants hold with a guest" checker
check "shut down" xl shutdown -w loader
check "gone" gone loader
check "no loop device is left" sh -c '[ -z "$(losetup -a)" ]'
rm -rf /system /tmp/grub.img
check "all invariants hold" checker
[ $failures = 0 ] || evidence
