# Eight guests at once, two of them with Debian's normal kernel. Afterwards everything is exactly back.
. /oxen/lib/guests.sh
start_tools
check "the first ones" first_ones 8
say "before: $(count_all /tmp/before)"
all="1 2 3 4 5 6 7 8"
for i in $all; do
    # By the end, because they are the slowest to start.
    case $i in
    1 | 2) check "create guest $i of eight" xl create -q "$(config "g$i" "kernel = '$files/stock.gz'" "memory = 192")" ;;
    *) check "create guest $i of eight" xl create -q "$(config "g$i")" ;;
    esac
done
for i in $all; do
    check "guest $i is ready" ready "g$i" 600
done
check "nine domains" [ "$(xl list | tail -n +2 | wc -l)" = 9 ]
for i in $all; do
    tell "g$i" 'n=0; while [ $n -lt 3000 ]; do n=$((n + 1)); done; echo $n'
done
for i in $all; do
    check "guest $i works" prints 3000 answer "g$i" 300
done
check "all invariants hold with guests" checker
for i in $all; do
    xl destroy "g$i" &
done
for i in $all; do
    check "guest $i is gone" gone "g$i"
done
check "everything is back" unchanged /tmp/before
check "all invariants hold" checker
[ $failures = 0 ] || evidence
