# Debian's normal kernel and its cloud flavour, each in a guest with one vCPU and in one with four, all at the same time;
# rows have hosts with 1, 2 and 4 CPUs.
. /oxen/lib/guests.sh
start_tools
guests="normal-1 normal-4 cloud-1 cloud-4"
seconds() { cut -d. -f1 /proc/uptime; }
began=$(seconds)
for guest in $guests; do
    rm -f "$(log_of "$guest")" "/tmp/guests/$guest.number"
    case $guest in
    normal*) file=stock.gz size=192 ;;
    cloud*) file=cloud size=128 ;;
    esac
    check "create $guest" xl create -q "$(config "$guest" "kernel = '$files/$file'" "memory = $size" "vcpus = ${guest#*-}")"
done
for guest in $guests; do
    check "$guest is in userspace" ready "$guest" 900
done
# Nothing below can hold without it.
[ $failures = 0 ] || { evidence; return; }
say "seconds to all in userspace: $(($(seconds) - began))"
# The cloud flavour is of the same version.
release=$(uname -r)
version=${release%-amd64}
for guest in $guests; do
    case $guest in
    normal*) expected=$release ;;
    cloud*) expected=$version-cloud-amd64 ;;
    esac
    check "$guest runs that kernel" prints "$expected ${guest#*-}" in_guest "$guest" 'echo $(uname -r) $(nproc)'
done
work='p=; for i in $(seq $(nproc)); do (taskset $((1 << (i - 1))) sh -c "n=0; while [ \$n -lt 2000 ]; do n=\$((n+1)); done") & p="$p $!"; done; for i in $p; do wait $i || exit 1; done'
for guest in $guests; do
    tell "$guest" "$work"
done
for guest in $guests; do
    check "$guest works on all its vCPUs" answer "$guest" 300
    check "its kernel does not complain" in_guest "$guest" '! dmesg | grep -E "BUG:|Oops|WARNING: CPU|Call Trace|rcu: INFO|soft lockup"'
done
check "all invariants hold with guests" checker
for guest in $guests; do
    xl shutdown "$guest"
done
for guest in $guests; do
    check "$guest is gone" gone "$guest" 300
done
check "all invariants hold" checker
[ $failures = 0 ] || evidence
