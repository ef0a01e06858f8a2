# oxen.kills=N guests, each killed at a random point of its boot, while others are built, boot and die. Afterwards
# everything is exactly back.
#
# The point is an amount of CPU time below that of a whole boot, chosen before the guest starts: the points cover the
# boot however fast the machine is. Each tenth guest has a disk.
. /oxen/lib/guests.sh
start_tools
kills=$(argument oxen.kills)
: "${kills:=100}"
# As many guests live at once, at most.
crowd=4

random() { echo $(($(od -An -N2 -tu2 /dev/urandom) % $1)); }
new_disk() { truncate -s 16M "/tmp/$1.img" && echo "disk = [ 'file:/tmp/$1.img,xvda,w' ]"; }
# Tenths of a second of CPU time that a guest has used; by our xl, which takes a third of the time that stock xl takes.
tenths() { /oxen/bin/xl list "$1" | awk 'END { print int($NF * 10) }'; }

check "the first ones" first_ones $crowd
one_with_a_disk() { create disk "$(new_disk disk)" && boot=$(tenths disk) && xl destroy disk && gone disk; }
check "one with a disk" one_with_a_disk
check "a boot takes time: $boot tenths of a second" [ "$boot" -gt 3 ]
say "before: $(count_all /tmp/before)"

# Ends those whose time has come and those that have booted, each beside what goes on.
living=
end() {
    usleep "$(random 10)0000"
    # When, and how much its console has said.
    echo "$(tenths "$1") $(wc -l <"$(log_of "$1")")" >>/tmp/died
    xl destroy "$1" || echo "$1" >>/tmp/deaths.failed
    rm "$(log_of "$1")"
}
reap() {
    # Each look takes time from those who boot.
    usleep 300000
    due=$(/oxen/bin/xl list | awk 'NR == FNR { point[$1] = $2; next } ($1 in point) && $NF * 10 >= point[$1] { print $1 }' /tmp/points -)
    booted=$(grep -l '^%% ready' $logs/guest-v*.log | sed 's/.*guest-\(.*\)\.log/\1/')
    rest=
    for victim in $living; do
        case " $(echo $due $booted) " in
        *" $victim "*) end "$victim" & ;;
        *) rest="$rest $victim" ;;
        esac
    done
    living=$rest
}
none_living() { reap; [ -z "$living" ]; }
room() { reap; [ "$(echo $living | wc -w)" -lt $crowd ]; }
# Says what those do that should have died; before the harness loses its patience.
stuck() {
    echo "living: $living"
    cat /tmp/points | tail -n 6
    xl list
    for victim in $living; do
        echo "== $victim"
        tail -n 8 "$(log_of "$victim")"
    done
    ps | grep -v '\[' | tail -n 20
    xl debug-keys q
    xl debug-keys e
    xl dmesg | tail -n 100
    return 1
}
n=0
deaths() {
    while [ $n -lt "$1" ]; do
        disk=
        [ $((n % 10)) != 0 ] || disk=$(new_disk "v$n")
        echo "v$n $(random "$boot")" >>/tmp/points
        xl create -q "$(config "v$n" "$disk")" || return 1
        living="$living v$n"
        n=$((n + 1))
        within 200 room || stuck || return 1
    done
    [ ! -e /tmp/deaths.failed ] || { cat /tmp/deaths.failed; return 1; }
}
last_ones() {
    within 200 none_living || stuck || return 1
    wait
    deaths "$kills"
}
rm -f /tmp/died /tmp/deaths.failed /tmp/points
began=$(cut -d. -f1 /proc/uptime)
for batch in $(seq 10 10 $((kills - 1))) "$kills"; do
    check "guests up to number $batch" deaths "$batch"
done
check "the last ones" last_ones
check "$kills died" [ "$(wc -l </tmp/died)" = "$kills" ]
say "seconds for $kills deaths: $(($(cut -d. -f1 /proc/uptime) - began))"
say "died at, tenths of a second and lines on the console: $(sort -n /tmp/died | tr '\n' ',')"
check "everything is back" unchanged /tmp/before
check "all invariants hold" checker
[ $failures = 0 ] || evidence
