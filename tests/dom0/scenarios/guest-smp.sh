# What changes in a running guest: vCPUs, memory, priorities, names; and what the tools show of it.
. /oxen/lib/guests.sh
start_tools

check "create with 4 vCPUs" create smp "vcpus = 2" "maxvcpus = 4" "memory = 160" "maxmem = 192"
check "two are up" prints 2 in_guest smp nproc
check "vcpu-set 4" xl vcpu-set --ignore-host smp 4
# The kernel adds the vCPUs that the tools allow; to use them is udev's work in a distribution, the shell's here.
online='for c in /sys/devices/system/cpu/cpu*/online; do grep -q 1 $c || echo 1 >$c; done; nproc'
four() { [ "$(in_guest smp "$online")" -eq 4 ]; }
check "the guest has four" within 300 four
check "work on all four" in_guest smp 'p=; for i in 1 2 3 4; do (taskset $((1 << (i - 1))) sh -c "n=0; while [ \$n -lt 20000 ]; do n=\$((n+1)); done") & p="$p $!"; done; for i in $p; do wait $i || exit 1; done'
check "vcpu-set 1" xl vcpu-set --ignore-host smp 1
one() { [ "$(in_guest smp 'nproc')" -eq 1 ]; }
check "the guest has one" within 300 one
check "vcpu-pin" xl vcpu-pin smp 0 0
# Where there is but one, that is all of them (guest-commands has two in every run).
pinned=0
[ "$(xl info | sed -n 's/^nr_cpus *: //p')" != 1 ] || pinned=all
check "pinned" sh -c "xl vcpu-list smp | grep -q '^smp  *[0-9]*  *0 .* $pinned / all'"
check "vcpu-pin all" xl vcpu-pin smp all all

check "mem-set down" xl mem-set smp 96
smaller() { [ "$(xl list smp | awk 'NR == 2 { print $3 }')" -le 97 ]; }
check "the guest gave memory back" within 120 smaller
check "mem-set up" xl mem-set smp 150
larger() { [ "$(xl list smp | awk 'NR == 2 { print $3 }')" -ge 149 ]; }
check "the guest took memory" within 120 larger
check "mem-max" xl mem-max smp 256

check "sched-credit2 weight" xl sched-credit2 -d smp -w 512
check "sched-credit2 shows it" sh -c 'xl sched-credit2 -d smp | grep -q "^smp  *[0-9]*  *512"'
check "sched-credit2 cap" xl sched-credit2 -d smp -c 50
check "cpupool-list" sh -c 'xl cpupool-list | grep -q "^Pool-0 "'

check "rename" xl rename smp other
check "by its new name" domid other
check "and back" xl rename other smp
check "pause" xl pause smp
check "xl list says so" sh -c 'xl list smp | grep -q " [r-][b-]p--- "'
check "unpause" xl unpause smp
check "it goes on" prints here in_guest smp 'echo here'
check "sysrq" xl sysrq smp h
check "the guest's kernel answers" within 60 shows smp 'sysrq: HELP'
check "dump-core" xl dump-core smp /tmp/core
check "the core is an ELF file with its memory" sh -c '[ "$(head -c 4 /tmp/core | tail -c 3)" = ELF ] && [ "$(stat -c %s /tmp/core)" -gt 100000000 ]'
rm -f /tmp/core

# Debian's tools that look at it.
debian() {
    check "xentop" sh -c 'xentop -b -i 1 | grep -q " smp "'
    check "xenctx" sh -c "xenctx $(domid smp) 0 | grep -q '^rip: '"
    check "lsevtchn" sh -c "lsevtchn $(domid smp) | grep -q Interdomain"
    check "xen-mfndump" sh -c "xen-mfndump dump-p2m $(domid smp) | grep -q 'pfn='"
    check "xenpm" sh -c 'xenpm get-cpu-topology | grep -q CPU0'
    check "test-cpu-policy" test-cpu-policy
    check "test-resource" test-resource
    check "test-paging-mempool" test-paging-mempool
    check "test-xenstore" test-xenstore -i 1
}
[ "$(whose xl)" = ours ] || debian
check "xl uptime" sh -c 'xl uptime smp | grep -q "^smp "'
check "destroy" xl destroy smp
check "gone" gone smp
check "all invariants hold" checker
[ $failures = 0 ] || evidence
