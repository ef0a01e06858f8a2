# Lives in a row, each with a disk and an interface: nothing is left of them. oxen.cycles=N; few unless asked for more.
. /oxen/lib/guests.sh
start_tools
cycles=$(argument oxen.cycles)
: "${cycles:=6}"
truncate -s 8M /tmp/life.img
ip link add name xenbr0 type bridge
ip link set xenbr0 up
configured() { config life "memory = 96" "disk = [ 'file:/tmp/life.img,xvda,w' ]" "vif = [ 'bridge=xenbr0' ]"; }
# One that never runs; one that ends while its kernel starts.
life() {
    case $1 in
    paused) xl create -pq "$(configured)" ;;
    started) xl create -q "$(configured)" && usleep 500000 ;;
    esac && xl destroy life && gone life
}
# What dom0 and the hypervisor make once and keep is made before anything is counted.
check "the first, paused" life paused
check "the first, started" life started
within 60 sh -c '[ -z "$(losetup -a)" ]'
remember
free=$(free_pages)
say "free pages $free"
lives() {
    n=0
    while [ $n -lt "$cycles" ]; do
        n=$((n + 1))
        [ $((n % 2)) = 0 ] && how=paused || how=started
        life $how || { echo "life $n ($how)"; return 1; }
        [ $((n % 20)) = 0 ] && say "lives: $n"
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
