# What is configured for a guest's end: on_crash, on_reboot, on_poweroff; dumps and what is in them.
. /oxen/lib/guests.sh
start_tools
dumps=/var/lib/xen/dump
rm -rf $dumps/*
# ends NAME HOW LINE...: a guest whose userspace ends like this at once.
ends() {
    guest=$1 how=$2
    shift 2
    rm -f "$(log_of "$guest")"
    xl create -q "$(config "$guest" "cmdline = 'console=hvc0 loglevel=4 panic=-1 guest.then=$how'" "$@")"
}
# state NAME: the letters of xl list that say how a domain stands, without whether it runs at this moment.
state() { xl list "$1" | awk 'NR == 2 { print $5 }' | tr -d 'rb-'; }
stands() { [ "$(state "$1")" = "$2" ]; }
# The file of a guest's dump, whatever else the tools put into its name.
dump_of() { ls $dumps/*"$1"* 2>/dev/null | head -n 1; }
# comes_back NAME: as another domain than the one whose number is in $was.
another() { now=$(domid "$1") && [ "$now" != "$was" ]; }
comes_back() { within 300 another "$1" && ready "$1"; }

# --- together: what ends or stays ----------------------------------------------------------------------------------
check "first" ends first crash "on_crash = 'destroy'"
check "a crashed guest is destroyed" gone first 300
remember
check "kept after a crash" ends kept crash "on_crash = 'preserve'"
check "dumped after a crash" ends dumped crash "on_crash = 'coredump-destroy'"
check "kept after power-off" ends off poweroff "on_poweroff = 'preserve'"
check "gone after a reboot" ends again reboot "on_reboot = 'destroy'"
check "a crashed guest is kept" within 300 stands kept sc
check "a guest that powered off is kept" within 300 stands off s
check "a guest is not started again" gone again 300
check "a dumped guest is destroyed" gone dumped 300
check "its dump holds its memory" read-core "$(dump_of dumped)" --pages 32768 --vcpus 1 --text 'Linux version'
rm -rf $dumps/*
check "the kept one can be dumped" xl dump-core kept /tmp/core
check "that dump, too" read-core /tmp/core --pages 32768 --vcpus 1 --text 'sysrq: Trigger a crash'
rm /tmp/core
if [ -x "$stock/xl" ]; then
    check "stock xl dumps it" "$stock/xl" dump-core kept /tmp/core.stock
    check "ours dumps it" /oxen/bin/xl dump-core kept /tmp/core.ours
    check "both dumps are equal" read-core /tmp/core.ours --equals /tmp/core.stock
fi
rm -f /tmp/core*
check "destroy" xl destroy kept
check "destroy" xl destroy off
check "nothing is left" nothing_left
# Four at once were the most: what dom0 and the hypervisor keep for them is made.
free=$(free_pages)

# --- one guest: what comes back ------------------------------------------------------------------------------------
check "create" create phoenix "on_crash = 'coredump-restart'" "on_reboot = 'rename-restart'" "on_poweroff = 'restart'"
was=$(domid phoenix)
rm "$(log_of phoenix)"
check "sysrq c" tell phoenix 'echo c >/proc/sysrq-trigger'
check "back after its crash" comes_back phoenix
check "its dump" read-core "$(dump_of phoenix)" --pages 32768 --vcpus 1 --text 'Linux version'
rm -rf $dumps/*
was=$(domid phoenix)
rm "$(log_of phoenix)"
check "power off" xl shutdown phoenix
check "back after its power-off" comes_back phoenix
was=$(domid phoenix)
rm "$(log_of phoenix)"
check "reboot" xl reboot phoenix
check "back after its reboot" comes_back phoenix
# Which one, each tool decides.
aside=$(xl list | awk '/^phoenix-/ { print $1 }')
check "the one before is kept under another name" stands "$aside" s
check "it answers" prints 42 in_guest phoenix 'echo $((6 * 7))'
check "destroy the old one" xl destroy "$aside"
check "the new one is still there" domid phoenix
check "destroy" xl destroy phoenix
check "gone" gone phoenix
check "nothing is left" nothing_left
check "memory is back" back "$free"
check "all invariants hold" checker
[ $failures = 0 ] || evidence
