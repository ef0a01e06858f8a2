# What bad input, missing parts and signals in the midst get from our xl: one line that says it, and nothing left over.
. /oxen/lib/guests.sh
start_tools
ours=/oxen/bin/xl

# refused TEXT COMMAND...: fails, says it, and changes nothing of what is remembered.
refused() {
    text=$1
    shift
    "$@" >/tmp/refused.out 2>&1 && { echo "it did not fail"; "$ours" destroy k; return 1; }
    grep -q -e "$text" /tmp/refused.out || { cat /tmp/refused.out; return 1; }
    # One line says it.
    [ "$(grep -c '^xl: ' /tmp/refused.out)" = 1 ] || { cat /tmp/refused.out; return 1; }
    nothing_left
}

# A disk makes dom0 set up what it keeps.
truncate -s 4M /tmp/warm.img
"$ours" create -q -p "$(config warm "memory = 96" "disk = [ 'file:/tmp/warm.img,xvda,w' ]")" && "$ours" destroy warm
check "it is gone" gone warm
free=$(free_pages)
remember

check "dom0's name" refused "dom0's own name" "$ours" create "$(config Domain-0)"
check "too little memory" refused 'raise memory=' "$ours" create "$(config k)" memory=8
check "too much memory" refused 'not enough free memory' "$ours" create "$(config k)" memory=100000
# A kernel for other machines: no word of Xen in it.
check "a kernel without PV support" refused 'cannot run as a PV guest' "$ours" create "$(config k)" "kernel=$(command -v xl)"
half() { head -c 3000000 "$kernel" >/tmp/half && refused 'half' "$ours" create "$(config k)" kernel=/tmp/half; }
check "half a kernel" half
check "a directory as a ramdisk" refused '/tmp' "$ours" create "$(config k)" ramdisk=/tmp
check "a pool that is none" refused 'no cpupool' "$ours" create "$(config k)" pool=none
check "a bridge that is none" refused 'br7' "$ours" create "$(config k)" "vif=['bridge=br7']"

# --- disks and their backends --------------------------------------------------------------------------------------
truncate -s 16M /tmp/used.img
check "a guest with a disk" "$ours" create -pq "$(config holder "memory = 96" "disk = [ 'file:/tmp/used.img,xvda,w' ]")"
remember
check "a name in use" refused 'exists already' "$ours" create "$(config holder)"
check "its disk for another" refused 'in use by domain holder as xvda' "$ours" create "$(config k)" "disk=['file:/tmp/used.img,xvda,w']"
check "even to read" refused 'in use by domain holder' "$ours" create "$(config k)" "disk=['file:/tmp/used.img,xvda,r']"
check "the second of two disks" refused 'in use by domain holder' "$ours" create "$(config k)" "disk=['file:/tmp/half,xvda,w','file:/tmp/used.img,xvdb,w']"
check "destroy" "$ours" destroy holder
check "it is gone" gone holder
within 30 sh -c '[ -z "$(losetup -a)" ]'
# One that dom0 itself has mounted.
/sbin/mke2fs -q -F -t ext4 /tmp/used.img
check "mount it here" sh -c 'mkdir -p /mnt/here && mount -t ext4 -o loop /tmp/used.img /mnt/here'
remember
check "a disk that is mounted" refused 'used.img' "$ours" create "$(config k)" "disk=['file:/tmp/used.img,xvda,w']"
umount /mnt/here
within 30 sh -c '[ -z "$(losetup -a)" ]'
remember
check "a backend domain that is none" refused 'nobody' "$ours" create "$(config k)" "disk=['vdev=xvda,backend=nobody,target=/tmp/used.img']"
# The kernel's backend is not loaded: nobody answers.
modprobe -r xen-blkback
check "no backend for disks" refused 'xvda' "$ours" create "$(config k)" "disk=['file:/tmp/used.img,xvda,w']"
modprobe xen-blkback
export OXEN_QEMU=/bin/false
check "a backend that dies at once" refused 'xvda' "$ours" create "$(config k)" "disk=['format=qcow2,vdev=xvda,target=/tmp/used.img']"
unset OXEN_QEMU

# --- signals -------------------------------------------------------------------------------------------------------
# interrupted SIGNAL MICROSECONDS: so long after the domain is there.
ip link add name xenbr0 type bridge
ip link set xenbr0 up
remember
interrupted() {
    "$ours" create "$(config i "disk = [ 'file:/tmp/used.img,xvda,w' ]" "vif = [ 'bridge=xenbr0' ]")" >/tmp/refused.out 2>&1 &
    pid=$!
    # As soon as there is something to leave behind.
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do "$ours" domid i >/dev/null 2>&1 && break; done
    usleep "$2"
    kill -"$1" $pid
    # Too late is no failure of its own: then it is made.
    wait $pid && { "$ours" destroy i && gone i && nothing_left; return; }
    grep -q 'interrupted; nothing' /tmp/refused.out || { cat /tmp/refused.out; return 1; }
    nothing_left
}
check "Ctrl-C leaves nothing" interrupted INT 0
check "Ctrl-C a little later" interrupted INT 300000
check "Ctrl-C among the devices" interrupted INT 1000000
check "a terminal that closes" interrupted HUP 100000
check "kill" interrupted TERM 200000
check "nothing of it" absent i
foreground() {
    "$ours" create -F "$(config f)" >/tmp/refused.out 2>&1 &
    pid=$!
    within 60 "$ours" domid f || return 1
    within 60 sh -c "$ours list f | grep -q -e ' [r-][b-]---- '" || return 1
    # Once it runs, a signal ends who watches, not the guest.
    sleep 1
    kill -INT $pid
    wait $pid
    "$ours" domid f || return 1
    "$ours" destroy f && gone f && nothing_left
}
check "create -F: the guest outlives who watches" foreground
ip link del xenbr0
check "memory is back" back "$free"
[ $failures = 0 ] || evidence
