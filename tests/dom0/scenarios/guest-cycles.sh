# Lives in a row, each with a disk and an interface: nothing is left of them. oxen.cycles=N; few unless asked for more.
# One of ten is Debian's kernel; the others have no operating system (tests/bench-guest, asleep), so that most of a life is
# what the tools do.
. /oxen/lib/guests.sh
start_tools
cycles=$(argument oxen.cycles)
: "${cycles:=6}"
truncate -s 8M /tmp/life.img
ip link add name xenbr0 type bridge
ip link set xenbr0 up
# configured KERNEL: its configuration's file.
configured() {
    config life "disk = [ 'file:/tmp/life.img,xvda,w' ]" "vif = [ 'bridge=xenbr0' ]" "memory = 96" >/dev/null
    if [ "$1" = bare ]; then
        sed -i '/^ramdisk/d' /tmp/guests/life.cfg
        printf '%s\n' "kernel = '$files/bench'" "cmdline = 'role=0'" "memory = 16" >>/tmp/guests/life.cfg
    fi
    echo /tmp/guests/life.cfg
}
# life paused|started debian|bare: one that never runs; one that ends while its kernel starts.
life() {
    case $1 in
    paused) xl create -pq "$(configured "$2")" ;;
    started) xl create -q "$(configured "$2")" && usleep 300000 ;;
    esac && xl destroy life && gone life
}
# What dom0 and the hypervisor make once and keep is made before anything is counted.
check "the first, paused" life paused debian
check "the first, started" life started debian
within 60 sh -c '[ -z "$(losetup -a)" ]'
remember
free=$(free_pages)
say "free pages $free"
lives() {
    n=0
    while [ $n -lt "$cycles" ]; do
        n=$((n + 1))
        case $n in
        1 | *[02468]1) how="paused debian" ;;
        *1) how="started debian" ;;
        *[02468]) how="paused bare" ;;
        *) how="started bare" ;;
        esac
        life $how || { echo "life $n ($how)"; return 1; }
        [ $((n % 20)) = 0 ] && say "lives: $n" >/dev/console
    done
    true
}
began=$(cut -d. -f1 /proc/uptime)
check "$cycles lives" lives
say "seconds: $(($(cut -d. -f1 /proc/uptime) - began)) for $cycles lives"
check "nothing is left" nothing_left
check "memory is back" back "$free"
ip link del xenbr0
check "all invariants hold" checker
[ $failures = 0 ] || evidence
