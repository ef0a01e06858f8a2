# Disks and networks of guests, through dom0's backends and Debian's hotplug scripts.
. /oxen/lib/guests.sh
start_tools
sum='md5sum /mnt/file | cut -d" " -f1'

# --- disk: what was written before a reboot is there after it -------------------------------------------------------
truncate -s 48M /tmp/disk.img
check "create with a raw disk" create disk "disk = [ 'file:/tmp/disk.img,xvda,w' ]"
check "the disk appears" in_guest disk 'for i in 1 2 3 4 5 6 7 8 9 10; do [ -b /dev/xvda ] && break; sleep 1; done; [ -b /dev/xvda ]'
check "make a file system" in_guest disk '/sbin/mke2fs -q -t ext4 /dev/xvda && mount -t ext4 /dev/xvda /mnt'
check "write" in_guest disk 'dd if=/dev/urandom of=/mnt/file bs=64k count=128 2>/dev/null && sync'
before=$(in_guest disk "$sum")
check "unmount" in_guest disk 'umount /mnt'
rm "$(log_of disk)"
check "reboot" xl reboot disk
check "it comes back" ready disk
check "mount" in_guest disk 'for i in 1 2 3 4 5 6 7 8 9 10; do [ -b /dev/xvda ] && break; sleep 1; done; mount -t ext4 /dev/xvda /mnt'
check "the file is as it was" [ "$(in_guest disk "$sum" | sed '/^$/d')" = "$(echo "$before" | sed '/^$/d')" ]

# --- attach and detach, the first disk busy meanwhile --------------------------------------------------------------
truncate -s 16M /tmp/second.img
tell disk 'for i in 1 2 3 4 5 6; do dd if=/mnt/file of=/mnt/copy bs=64k conv=fsync 2>/dev/null || exit 1; done'
check "block-attach" xl block-attach disk 'file:/tmp/second.img,xvdb,w'
check "the load went on" answer disk 300
check "block-list shows two" [ "$(xl block-list disk | tail -n +2 | wc -l)" = 2 ]
check "the second disk works" in_guest disk 'for i in 1 2 3 4 5 6 7 8 9 10; do [ -b /dev/xvdb ] && break; sleep 1; done; dd if=/dev/zero of=/dev/xvdb bs=64k count=64 conv=fsync 2>/dev/null'
check "block-detach" xl block-detach disk xvdb
check "the second disk is gone" in_guest disk 'for i in 1 2 3 4 5 6 7 8 9 10; do [ -b /dev/xvdb ] || break; sleep 1; done; ! [ -b /dev/xvdb ]'
check "its loop device is free" sh -c '! losetup -a | grep -q second'

# --- network: bridged to dom0 and to each other -----------------------------------------------------------------------
ip link add name xenbr0 type bridge
ip addr add 10.9.0.1/24 dev xenbr0
ip link set xenbr0 up
interface='for i in 1 2 3 4 5 6 7 8 9 10; do [ -d /sys/class/net/eth0 ] && break; sleep 1; done; ip link set eth0 up && ip addr add'
check "create a second guest, with a network" create net "vif = [ 'mac=00:16:3e:00:00:02,bridge=xenbr0' ]"
check "network-attach" xl network-attach disk mac=00:16:3e:00:00:01 bridge=xenbr0
check "interface of the first" in_guest disk "$interface 10.9.0.11/24 dev eth0"
check "interface of the second" in_guest net "$interface 10.9.0.12/24 dev eth0"
check "guest to dom0" in_guest disk 'ping -c 3 -W 10 10.9.0.1'
check "dom0 to guest" ping -c 3 -W 10 10.9.0.12
check "guest to guest" in_guest disk 'ping -c 3 -W 10 10.9.0.12'
check "large packets" in_guest disk 'ping -c 3 -W 10 -s 1400 10.9.0.12'
iperf3 -s -D >/dev/null 2>&1
check "iperf3 guest to dom0" in_guest net 'iperf3 -c 10.9.0.1 -t 1 >/tmp/out && grep receiver /tmp/out'
check "iperf3 dom0 to guest" in_guest net 'iperf3 -R -c 10.9.0.1 -t 1 >/tmp/out && grep receiver /tmp/out'
tell disk 'iperf3 -s -1'
check "iperf3 guest to guest" in_guest net 'sleep 1; iperf3 -c 10.9.0.11 -t 1 >/tmp/out && grep receiver /tmp/out'
answer disk >/dev/null

# --- NAT to a network that knows nothing of the guests ---------------------------------------------------------------
# The shell would take busybox's own, which knows no name spaces.
ip() { /sbin/ip "$@"; }
outside() {
    ip netns add outside && ip link add to-outside type veth peer name inside && ip link set inside netns outside &&
        ip addr add 192.168.7.1/24 dev to-outside && ip link set to-outside up &&
        ip netns exec outside ip addr add 192.168.7.2/24 dev inside && ip netns exec outside ip link set inside up
}
check "a network outside" outside
check "dom0 reaches it" ping -c 3 -W 10 192.168.7.2
echo 1 >/proc/sys/net/ipv4/ip_forward
check "NAT rule" iptables -t nat -A POSTROUTING -o to-outside -j MASQUERADE
check "guest to outside through NAT" in_guest net 'ip route add default via 10.9.0.1; ping -c 3 -W 10 192.168.7.2'
check "network-detach" xl network-detach disk 0
check "the interface is gone" in_guest disk 'for i in 1 2 3 4 5 6 7 8 9 10; do [ -d /sys/class/net/eth0 ] || break; sleep 1; done; ! [ -d /sys/class/net/eth0 ]'
check "network-list is empty" [ "$(xl network-list disk | tail -n +2 | wc -l)" = 0 ]

# --- routed: no bridge, a host route for each guest --------------------------------------------------------------------
ip link add name eth0 type dummy
ip addr add 10.8.0.1/24 dev eth0
ip link set eth0 up
check "attach a routed interface" xl network-attach disk mac=00:16:3e:00:00:03 script=vif-route ip=10.8.0.13
check "interface" in_guest disk "$interface 10.8.0.13/24 dev eth0; ip route add 10.8.0.1 dev eth0 2>/dev/null; true"
check "routed to dom0" in_guest disk 'ping -c 3 -W 10 10.8.0.1'

check "shut down" xl shutdown -w disk
check "destroy" xl destroy net
check "gone" gone net
check "no interface of a guest is left" sh -c '! ls /sys/class/net | grep -q ^vif'
check "no loop device is left" sh -c '[ -z "$(losetup -a)" ]'
check "all invariants hold" checker
[ $failures = 0 ] || evidence
