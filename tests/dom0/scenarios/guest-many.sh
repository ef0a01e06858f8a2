# Eight guests at once; many short lives; deaths at any moment of a boot. Afterwards everything is exactly back.
. /oxen/lib/guests.sh
start_tools
# How much of it: oxen.cycles=N lives, oxen.kills=N deaths; few unless asked for more.
cycles=$(argument oxen.cycles)
kills=$(argument oxen.kills)
: "${cycles:=20}" "${kills:=8}"

eight() {
    all="1 2 3 4 5 6 7 8"
    for i in $all; do
        # Nothing of those before.
        rm -f "$(log_of "g$i")" "/tmp/guests/g$i.number"
        check "create guest $i of eight" xl create -q "$(config "g$i" "memory = 128")"
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
    for i in $all; do
        xl destroy "g$i"
    done
    for i in $all; do
        check "guest $i is gone" gone "g$i"
    done
}
cycle() { xl create -pq "$(config cycle "memory = 96")" && xl destroy cycle && gone cycle; }
# What dom0 and the hypervisor make once and keep is made before anything is counted.
# Eight at once are the most of it: dom0's ports and handles for grants, queues with room for all vCPUs.
eight
first() { create victim && xl destroy victim && gone victim && cycle; }
check "the first ones" first
free=$(free_pages)
ports() { lsevtchn 0 | wc -l; }
ports=$(ports)
say "free pages $free, ports $ports"

lives() {
    n=0
    while [ $n -lt "$cycles" ]; do
        cycle || return 1
        n=$((n + 1))
    done
}
check "$cycles lives" lives
check "memory is back" back "$free"
check "ports are back" [ "$(ports)" = "$ports" ]

# Killed after a random time: while it is built, while its kernel starts, while it uses devices.
deaths() {
    n=0
    while [ $n -lt "$kills" ]; do
        xl create -q "$(config victim)" || return 1
        # 0 to 8 s, most of a boot when emulated.
        usleep $(($(od -An -N2 -tu2 /dev/urandom) * 128))
        xl destroy victim && gone victim || return 1
        n=$((n + 1))
    done
}
check "$kills deaths" deaths
check "memory is back" back "$free"
check "ports are back" [ "$(ports)" = "$ports" ]

eight
check "memory is back" back "$free"
check "ports are back" [ "$(ports)" = "$ports" ]
check "all invariants hold" checker
[ $failures = 0 ] || evidence
