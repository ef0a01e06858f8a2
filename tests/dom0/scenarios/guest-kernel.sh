# Debian's normal kernel in guests with one vCPU and with four, at the same time; rows have hosts with 1, 2 and 4 CPUs.
. /oxen/lib/guests.sh
start_tools
normal="kernel = '$files/stock.gz'"
rm -f "$(log_of single)" "$(log_of four)"
seconds() { cut -d. -f1 /proc/uptime; }
began=$(seconds)
check "create with 1 vCPU" xl create -q "$(config single "$normal" "memory = 192")"
check "create with 4 vCPUs" xl create -q "$(config four "$normal" "memory = 192" "vcpus = 4")"
check "the first is in userspace" ready single
check "the second is in userspace" ready four
# Nothing below can hold without it.
[ $failures = 0 ] || { evidence; return; }
say "seconds to both in userspace: $(($(seconds) - began))"
release=$(uname -r)
check "the first runs dom0's kernel" prints "$release 1" in_guest single 'echo $(uname -r) $(nproc)'
check "the second runs dom0's kernel" prints "$release 4" in_guest four 'echo $(uname -r) $(nproc)'
work='p=; for i in $(seq $(nproc)); do (taskset $((1 << (i - 1))) sh -c "n=0; while [ \$n -lt 2000 ]; do n=\$((n+1)); done") & p="$p $!"; done; for i in $p; do wait $i || exit 1; done'
tell single "$work"
check "work on all four" in_guest four "$work"
check "work beside it" answer single
check "neither kernel complains" in_guest four '! dmesg | grep -E "BUG:|Oops|WARNING: CPU|Call Trace|rcu: INFO|soft lockup"'
check "all invariants hold with guests" checker
xl shutdown single
check "shut down" xl shutdown -w four
check "the first is gone" gone single
check "the second is gone" gone four
check "all invariants hold" checker
[ $failures = 0 ] || evidence
