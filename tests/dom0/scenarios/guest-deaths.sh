# oxen.kills=N guests, each killed at a random point of its boot, two at a time: while one is built, boots or dies, so does
# another. Afterwards everything is exactly back.
#
# The point is an amount of CPU time below that of a whole boot, chosen before the guest starts: the points cover the
# boot however fast the machine is. Each tenth guest has a disk.
. /oxen/lib/guests.sh
start_tools
# Unpacked once, or stock xl would do little else than that.
check "unpack the kernel" unpack-kernel "$kernel" /tmp/kernel
kernel=/tmp/kernel
kills=$(argument oxen.kills)
: "${kills:=100}"

random() { echo $(($(od -An -N2 -tu2 /dev/urandom) % $1)); }
# As little as it boots with: pages are a good part of what making and ending a guest takes.
memory=96
new_disk() { truncate -s 16M "/tmp/$1.img" && echo "disk = [ 'file:/tmp/$1.img,xvda,w' ]"; }
# Thousandths of a second of CPU time that a whole boot takes.
one_with_a_disk() {
    rm -f "$(log_of disk)"
    xl create -pq "$(config disk "$(new_disk disk)")" && boot=$(run-until "$(domid disk)" 1000000) && shows disk '^%% ready' \
        && xl destroy disk && gone disk
}
check "the first ones" first_ones 2
check "one with a disk" one_with_a_disk
check "a boot takes time: $boot thousandths of a second" [ "$boot" -gt 300 ]
say "before: $(count_all /tmp/before)"

# death NAME NUMBER: a line of when it died, and how much its console had said.
death() {
    disk=
    [ $(($2 % 10)) != 0 ] || disk=$(new_disk "$1")
    rm -f "$(log_of "$1")"
    xl create -pq "$(config "$1" "$disk")" && used=$(run-until "$(domid "$1")" "$(random "$boot")") && xl destroy "$1" \
        && echo "$used $(wc -l <"$(log_of "$1")")" >>/tmp/died && gone "$1"
}
# deaths NAME FIRST LAST: each second of them.
deaths() {
    n=$2
    while [ "$n" -le "$3" ]; do
        death "$1" "$n" || { echo "death $n of $kills" >>/tmp/deaths.failed; return 1; }
        n=$((n + 2))
    done
}
both() {
    deaths one "$1" "$2" &
    deaths other $(($1 + 1)) "$2"
    wait
    [ ! -e /tmp/deaths.failed ] || { cat /tmp/deaths.failed; return 1; }
}
rm -f /tmp/died /tmp/deaths.failed
: >/tmp/died
began=$(cut -d. -f1 /proc/uptime)
last=0
for batch in $(seq 20 20 $((kills - 1))) "$kills"; do
    check "guests up to number $batch" both $((last + 1)) "$batch"
    last=$batch
done
say "seconds for $kills deaths: $(($(cut -d. -f1 /proc/uptime) - began))"
check "$kills died" [ "$(wc -l </tmp/died)" = "$kills" ]
say "died at, thousandths of a second and lines on the console: $(sort -n /tmp/died | tr '\n' ',')"
check "everything is back" unchanged /tmp/before
check "all invariants hold" checker
[ $failures = 0 ] || evidence
