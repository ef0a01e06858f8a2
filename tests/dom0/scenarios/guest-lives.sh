# Many short lives, oxen.cycles=N of them: created and destroyed, two at a time. Afterwards everything is exactly back.
# Each tenth is Debian's kernel, built and never run; the others attack, each with another seed, and die in the midst of it.
. /oxen/lib/guests.sh
start_tools
# Unpacked once, or stock xl would do little else than that.
check "unpack the kernel" unpack-kernel "$kernel" /tmp/kernel
kernel=/tmp/kernel
cycles=$(argument oxen.cycles)
: "${cycles:=200}"

# Whatever it brings upon itself, it is ended here. It attacks whenever nobody else has anything to do: what is counted
# is lives, and its share of the processors would only make the tools slower.
hostile_until_destroyed() {
    hostile "$1" "$2" 1000000 "cpu_weight = 16" "on_poweroff = 'preserve'" "on_reboot = 'preserve'" "on_crash = 'preserve'" \
        "on_watchdog = 'preserve'" "on_soft_reset = 'preserve'"
}
# one NAME NUMBER
one() {
    if [ $(($2 % 10)) = 0 ]; then
        xl create -pq "$(config "$1" "memory = 96")"
    else
        # Nobody is to watch it: that one would end it for reasons of which there is no action to choose.
        xl create -eq "$(hostile_until_destroyed "$1" "$2")"
    fi && xl destroy "$1" && gone "$1"
}
# lives NAME FIRST LAST: each second of them.
lives() {
    n=$2
    while [ "$n" -le "$3" ]; do
        one "$1" "$n" || { echo "life $n of $cycles" >>/tmp/lives.failed; return 1; }
        n=$((n + 2))
    done
}
both() {
    lives one "$1" "$2" &
    lives other $(($1 + 1)) "$2"
    wait
    [ ! -e /tmp/lives.failed ] || { cat /tmp/lives.failed; return 1; }
}
check "the first ones" first_ones 2
say "before: $(count_all /tmp/before)"
began=$(cut -d. -f1 /proc/uptime)
rm -f /tmp/lives.failed
last=0
for batch in $(seq 20 20 $((cycles - 1))) "$cycles"; do
    check "lives up to number $batch" both $((last + 1)) "$batch"
    last=$batch
done
say "seconds for $cycles lives: $(($(cut -d. -f1 /proc/uptime) - began))"
check "everything is back" unchanged /tmp/before
check "all invariants hold" checker
[ $failures = 0 ] || evidence
