# A guest's life by libvirt: made from xl's configuration, seen, told, paused, shut down.
. /oxen/lib/guests.sh
start_tools
virsh() { command virsh -q -c xen:///system "$@"; }
state() { prints "$1" virsh domstate managed; }

# libvirt knows no processor without VME, which QEMU does not emulate; its oldest gets by without here.
sed -i '/vme/d' /usr/share/libvirt/cpu_map/x86_486.xml
mkdir -p /etc/libvirt /run/libvirt /var/lib/libvirt /var/log/libvirt /var/cache/libvirt
libvirtd -p /run/libvirtd.pid >/tmp/libvirtd.out 2>&1 &
check "libvirtd listens" within 60 [ -S /run/libvirt/libvirt-sock ]
check "libvirtd answers" virsh version
# Nothing below can hold without it.
[ $failures = 0 ] || { tail -n 60 /tmp/libvirtd.out /var/log/libvirt/*.log; return; }
check "it knows the hypervisor" sh -c 'command virsh -c xen:///system version | grep -q "hypervisor: Xen 4.17"'
check "it lists dom0" sh -c 'command virsh -c xen:///system list | grep -q " Domain-0  *running"'
check "the host's CPUs" sh -c "command virsh -c xen:///system nodeinfo | grep -q '^CPU(s): *$(nproc)'"
virsh domxml-from-native xen-xl "$(config managed "maxmem = 192")" >/tmp/managed.xml
check "define" virsh define /tmp/managed.xml
check "it is there, shut off" state "shut off"
check "start" virsh start managed
check "it runs" ready managed
# Nothing below can hold without it.
[ $failures = 0 ] || { evidence; return; }
check "list shows it" sh -c 'command virsh -c xen:///system list | grep -q " managed  *running"'
check "xl sees the same domain" prints "$(domid managed)" virsh domid managed
check "it answers" prints 42 in_guest managed 'echo $((6 * 7))'
check "setmem" virsh setmem managed 96M --live
less() { [ "$(xl list managed | awk 'NR == 2 { print $3 }')" -le 97 ]; }
check "the guest gave memory back" within 120 less
check "suspend" virsh suspend managed
check "paused" state paused
check "resume" virsh resume managed
check "running" state running
check "it goes on" prints here in_guest managed 'echo here'
check "shutdown" virsh shutdown managed
check "shut off" within 300 state "shut off"
check "gone" gone managed
check "undefine" virsh undefine managed
check "all invariants hold" checker
kill "$(cat /run/libvirtd.pid)"
[ $failures = 0 ] || { cat /tmp/libvirtd.out /tmp/managed.xml /var/log/libvirt/libxl/*.log; evidence; }
