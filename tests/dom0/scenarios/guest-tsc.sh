# A guest whose time-stamp counter is emulated (tsc_mode): it runs, its clock keeps up with dom0's, nothing is left behind.
. /oxen/lib/guests.sh
start_tools
check "create a first one" create first
check "destroy it" xl destroy first
check "it is gone" gone first
free=$(free_pages)
check "create with an emulated counter" create tsc "tsc_mode = 'always_emulate'"
check "the tools know it" sh -c 'xl list -l tsc | grep -q "\"tsc_mode\": \"always_emulate\""'
check "it answers" prints 42 in_guest tsc 'echo $((6 * 7))'
check "its kernel complains of no clock" in_guest tsc '! dmesg | grep -iE "unstable|skewed|stalled|lockup"'
# How long two readings of the guest's clock are apart, in seconds of either side.
dom0=$(cut -d. -f1 /proc/uptime)
guest=$(in_guest tsc 'cut -d. -f1 /proc/uptime')
sleep 10
guest=$(($(in_guest tsc 'cut -d. -f1 /proc/uptime') - guest))
dom0=$(($(cut -d. -f1 /proc/uptime) - dom0))
say "seconds in dom0 $dom0, in the guest $guest"
# dom0's readings enclose the guest's, and those the sleep.
check "its clock keeps up" [ "$guest" -ge 9 ]
check "its clock is not ahead" [ "$guest" -le $((dom0 + 1)) ]
check "destroy" xl destroy tsc
check "gone" gone tsc
check "memory is back" back "$free"
check "all invariants hold in the end" checker
[ $failures = 0 ] || evidence
