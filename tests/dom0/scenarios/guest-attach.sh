# Our xl's and xenconsoled's share in a guest that somebody else made: consoles, disks and interfaces that come and go.
# The guest is made by the tools that the command line chooses; what is attached here is attached by ours.
. /oxen/lib/guests.sh
start_tools
ours=/oxen/bin/xl
appears() { in_guest "$1" "for i in 1 2 3 4 5 6 7 8 9 10; do [ -e $2 ] && break; sleep 1; done; [ -e $2 ]"; }
vanishes() { in_guest "$1" "for i in 1 2 3 4 5 6 7 8 9 10; do [ -e $2 ] || break; sleep 1; done; ! [ -e $2 ]"; }

truncate -s 16M /tmp/one.img
truncate -s 8M /tmp/two.img
ip link add name xenbr0 type bridge
ip addr add 10.9.0.1/24 dev xenbr0
ip link set xenbr0 up
check "create" create main

# --- consoles ---------------------------------------------------------------------------------------------------------
if [ "$(whose xenconsoled)" = ours ]; then
    timeout 600 $ours console main >/tmp/viewer.1 2>&1 </dev/null &
    viewers=$!
    timeout 600 $ours console main >/tmp/viewer.2 2>&1 </dev/null &
    viewers="$viewers $!"
    sleep 2
    check "the guest answers while two look" in_guest main 'echo both-see-this'
    check "the first viewer saw it" within 30 grep -q both-see-this /tmp/viewer.1
    check "the second viewer saw it" within 30 grep -q both-see-this /tmp/viewer.2
    kill -9 "$(cat /run/xenconsoled.pid)"
    check "xenconsoled starts anew" "$(tool xenconsoled)" --log=all --log-dir=$logs --pid-file=/run/xenconsoled.pid
    check "the guest answers after that" in_guest main 'echo still-here'
    check "a debug key" $ours debug-keys h
    check "the hypervisor's log has its answer" within 30 grep -q "'h' pressed" $logs/hypervisor.log
    check "the first viewer is still there" within 30 grep -q still-here /tmp/viewer.1
    kill $viewers
    wait $viewers
fi

# --- disks ------------------------------------------------------------------------------------------------------------
check "block-attach" $ours block-attach main 'file:/tmp/one.img,xvdb,w'
check "it appears" appears main /dev/xvdb
check "the guest writes" in_guest main 'echo from-the-guest >/dev/xvdb && sync'
check "the image has it" sh -c 'head -c 14 /tmp/one.img | grep -q from-the-guest'
check "its loop device" sh -c 'losetup -a | grep -q one.img'
check "a second writer is refused" sh -c "! $ours block-attach main file:/tmp/one.img,xvdc,w 2>/tmp/refused && grep -q 'in use by domain main as xvdb' /tmp/refused"
check "a reader beside a writer too" sh -c "! $ours block-attach main file:/tmp/one.img,xvdc,r"
check "a missing image is named" sh -c "! $ours block-attach main file:/tmp/none.img,xvdc,r 2>/tmp/refused && grep -q '/tmp/none.img: No such file' /tmp/refused"
check "read-only" $ours block-attach main /tmp/two.img,,xvdd,r
check "read-only in the guest" in_guest main 'for i in 1 2 3 4 5 6 7 8 9 10; do [ -e /sys/block/xvdd/ro ] && break; sleep 1; done; grep -q 1 /sys/block/xvdd/ro'
check "stock xl lists what ours lists" sh -c "$stock/xl block-list main >/tmp/stock && $ours block-list main >/tmp/ours && diff /tmp/stock /tmp/ours"
check "as JSON" sh -c "$ours block-list --json main | grep -q '\"vdev\": \"xvdd\"'"
check "block-detach" $ours block-detach main xvdb
check "it is gone" vanishes main /dev/xvdb
check "stock block-detach of ours" $stock/xl block-detach main xvdd
check "its loop device is free" within 10 sh -c '[ -z "$(losetup -a)" ]'
check "stock block-attach" $stock/xl block-attach main file:/tmp/two.img,xvde,w
check "it appears" appears main /dev/xvde
check "our block-detach of it" $ours block-detach main xvde
check "its loop device is free" within 10 sh -c '[ -z "$(losetup -a)" ]'
check "an unknown disk" sh -c "! $ours block-detach main xvdz 2>/tmp/refused && grep -q 'Device xvdz not connected' /tmp/refused"

# --- network ----------------------------------------------------------------------------------------------------------
interface='for i in 1 2 3 4 5 6 7 8 9 10; do [ -d /sys/class/net/eth0 ] && break; sleep 1; done; ip link set eth0 up && ip addr add'
check "network-attach" $ours network-attach main mac=00:16:3e:00:00:01 bridge=xenbr0 rate=100Mb/s
check "it is in the bridge" test -e /sys/class/net/xenbr0/brif/vif$(domid main).0
check "interface in the guest" in_guest main "$interface 10.9.0.11/24 dev eth0"
check "guest to dom0" in_guest main 'ping -c 3 -W 10 10.9.0.1'
check "stock xl lists what ours lists" sh -c "$stock/xl network-list main >/tmp/stock && $ours network-list main >/tmp/ours && diff /tmp/stock /tmp/ours"
check "network-detach" $ours network-detach main 00:16:3e:00:00:01
check "it is gone" vanishes main /sys/class/net/eth0
check "a bridge that is none" sh -c "! $ours network-attach main bridge=br7 2>/tmp/refused && grep -q 'bridge= could name xenbr0' /tmp/refused"
check "with an address" $ours network-attach main bridge=xenbr0 ip=10.9.0.12
check "interface in the guest" in_guest main "$interface 10.9.0.12/24 dev eth0"
check "the address works" in_guest main 'ping -c 3 -W 10 10.9.0.1'
check "another does not" in_guest main 'ip addr del 10.9.0.12/24 dev eth0; ip addr add 10.9.0.13/24 dev eth0; ! ping -c 2 -W 3 10.9.0.1'
check "network-detach" $ours network-detach main 0
check "it is gone" vanishes main /sys/class/net/eth0
check "routed and hidden" $ours network-attach main script=vif-nat ip=10.7.0.2
check "interface in the guest" in_guest main "$interface 10.7.0.2/24 dev eth0"
check "guest to its router" in_guest main 'ping -c 3 -W 10 10.7.0.129'
check "destroy" xl destroy main
check "gone" gone main
check "no interface of a guest is left" within 10 sh -c '! ls /sys/class/net | grep -q ^vif'

# --- lists ------------------------------------------------------------------------------------------------------------
check "sched-credit2 as stock" sh -c "$stock/xl sched-credit2 >/tmp/stock && $ours sched-credit2 >/tmp/ours && diff /tmp/stock /tmp/ours"
check "cpupool-list as stock" sh -c "$stock/xl cpupool-list >/tmp/stock && $ours cpupool-list >/tmp/ours && diff /tmp/stock /tmp/ours"
check "top -b" sh -c "$ours top -b -i 1 | head -1 | grep -q '^      NAME  STATE   CPU(sec)'"
[ $failures = 0 ] || evidence
