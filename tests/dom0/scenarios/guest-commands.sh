# What an administrator does around guests: pools of processors, shares of time, CD drives, autostart, top.
# Where stock xl is at hand its output and exit codes are the measure.
. /oxen/lib/guests.sh
start_tools
theirs=$stock/xl
# The same output as stock xl's.
same() {
    [ -x "$theirs" ] || return 0
    "$theirs" "$@" >/tmp/theirs 2>&1
    theirs_code=$?
    xl "$@" >/tmp/ours 2>&1
    [ $? = $theirs_code ] && diff /tmp/theirs /tmp/ours
}
rm -rf /etc/xen/auto
check "create" create main
made=$(domid main)
remember

# --- affinity ------------------------------------------------------------------------------------------------------
check "vcpu-pin" xl vcpu-pin main 0 1
check "it is pinned" sh -c 'xl vcpu-list main | grep -q "^main .* 1 / all"'
check "vcpu-pin all" xl vcpu-pin main 0 all
check "it may go anywhere" sh -c 'xl vcpu-list main | grep -q "^main .* all / all"'

# --- shares --------------------------------------------------------------------------------------------------------
check "sched-credit2: weight and cap" xl sched-credit2 -d main -w 300 -c 40
check "sched-credit2 of a domain" same sched-credit2 -d main
check "sched-credit2 of all" same sched-credit2
check "sched-credit2: the scheduler's own" same sched-credit2 -s
check "sched-credit2: rate limit" xl sched-credit2 -s -r 2000
check "it is set" sh -c 'xl sched-credit2 -s | grep -q "ratelimit=2000us"'
check "and back" xl sched-credit2 -s -r 1000
check "sched-credit of a pool without it" same sched-credit
check "no cap any more" xl sched-credit2 -d main -c 0

# --- pools ---------------------------------------------------------------------------------------------------------
check "cpupool-list" same cpupool-list
check "cpupool-list -c" same cpupool-list -c
check "take a processor" xl cpupool-cpu-remove Pool-0 1
check "one is left" sh -c 'xl cpupool-list -c | grep -q "^Pool-0  *0$"'
check "cpupool-create from settings" xl cpupool-create 'name="fast"' 'sched="credit"' 'cpus=["1"]'
check "cpupool-list" same cpupool-list
check "cpupool-list -c" same cpupool-list -c
check "cpupool-list of one" same cpupool-list fast
check "migrate the guest there" xl cpupool-migrate main fast
check "it is there" sh -c 'xl cpupool-list | grep -q "^fast .* 1$"'
check "the guest works there" prints 42 in_guest main 'echo $((6 * 7))'
check "sched-credit: weight and cap" xl sched-credit -d main -w 500 -c 30
check "sched-credit of a domain" same sched-credit -d main
check "sched-credit: the pool's own" same sched-credit -s -p fast
check "sched-credit: time slice" xl sched-credit -s -p fast -t 10
check "it is set" sh -c 'xl sched-credit -s -p fast | grep -q "tslice=10ms"'
check "a pool in use stays" sh -c '! xl cpupool-destroy fast'
check "rename" xl cpupool-rename fast slow
check "by its new name" same cpupool-list slow
check "create in a pool" xl create -pq "$(config pooled "pool = 'slow'" "memory = 96")"
check "it is there" sh -c 'xl cpupool-list | grep -q "^slow .* 2$"'
check "destroy" xl destroy pooled
check "migrate back" xl cpupool-migrate main Pool-0
check "cpupool-destroy" xl cpupool-destroy slow
check "give the processor back" xl cpupool-cpu-add Pool-0 1
check "as it was" sh -c 'xl cpupool-list -c | grep -q "^Pool-0  *0,1$"'
check "the guest works" prints 42 in_guest main 'echo $((6 * 7))'

# --- top -----------------------------------------------------------------------------------------------------------
top_columns() {
    xl top -b -i 2 -d 1 >/tmp/top || return 1
    [ "$(grep -c '^ *NAME  STATE ' /tmp/top)" = 2 ] && [ "$(grep -c '^ *main ' /tmp/top)" = 2 ] || { cat /tmp/top; return 1; }
    # The second look knows what was used since the first.
    [ -x "$stock/xentop" ] || return 0
    xentop -b -i 1 | head -n 1 >/tmp/theirs
    head -n 1 /tmp/top | diff /tmp/theirs -
}
check "top -b" top_columns
if [ "$(whose xl)" = ours ]; then
    # A screen for a person; the harness may press q, five seconds end it otherwise.
    check "top on a terminal" sh -c 'timeout 120 /oxen/bin/xl top -d 1 -i 5 </dev/console >/dev/console 2>&1'
fi

# --- CD drives -----------------------------------------------------------------------------------------------------
if [ "$(whose xl)" = ours ]; then
    truncate -s 1M /tmp/cd.iso
    printf 'first-medium' | dd of=/tmp/cd.iso conv=notrunc 2>/dev/null
    cp /tmp/cd.iso /tmp/cd2.iso
    printf 'other-medium' | dd of=/tmp/cd2.iso conv=notrunc 2>/dev/null
    medium() { in_guest main "for i in 1 2 3 4 5 6 7 8 9 10; do [ \"\$(head -c 12 /dev/xvdc 2>/dev/null)\" = $1 ] && exit 0; sleep 1; done; exit 1"; }
    empty() { in_guest main 'for i in 1 2 3 4 5 6 7 8 9 10; do [ -e /dev/xvdc ] || exit 0; sleep 1; done; exit 1'; }
    check "a drive" xl block-attach main vdev=xvdc,cdrom,target=/tmp/cd.iso
    check "its medium" medium first-medium
    check "it is read-only" in_guest main 'grep -q 1 /sys/block/xvdc/ro'
    check "cd-eject" xl cd-eject main xvdc
    check "it is empty" empty
    check "cd-insert" xl cd-insert main xvdc /tmp/cd2.iso
    check "the other medium" medium other-medium
    check "change" xl cd-insert main xvdc /tmp/cd.iso
    check "the first medium" medium first-medium
    check "a medium that is not there" sh -c '! xl cd-insert main xvdc /tmp/none.iso 2>/tmp/refused && grep -q none.iso /tmp/refused'
    check "detach" xl block-detach main xvdc
    check "cd-insert without a drive" sh -c '! xl cd-insert main xvdc /tmp/cd.iso'
fi

# --- exit codes ----------------------------------------------------------------------------------------------------
codes() {
    wrong=
    while read -r line; do
        [ -n "$line" ] || continue
        "$theirs" $line >/tmp/theirs 2>&1 </dev/null
        theirs_code=$?
        /oxen/bin/xl $line >/tmp/ours 2>&1 </dev/null
        ours_code=$?
        [ $ours_code = $theirs_code ] || { echo "xl $line: $ours_code, stock $theirs_code"; head -n 3 /tmp/ours /tmp/theirs; wrong=1; }
    done <<'LINES'
list nobody
list main
list --nonsense
destroy nobody
destroy
shutdown nobody
reboot nobody
pause nobody
unpause nobody
unpause main
domid nobody
domid main
domname 999
domname main
rename nobody other
rename main main
mem-set nobody 64
mem-set main
mem-max nobody 64
vcpu-set nobody 1
vcpu-set main x
vcpu-pin nobody 0 0
vcpu-pin main 7 0
vcpu-list nobody
uptime nobody
sysrq nobody h
sysrq main long
trigger nobody nmi
dump-core nobody /tmp/dump
console nobody
create /nowhere.cfg
create /tmp/guests/main.cfg kernel="/nowhere" name="x"
create /tmp/guests/main.cfg
block-list nobody
block-attach nobody file:/tmp/x.img,xvdz,w
block-attach main file:/nowhere.img,xvdz,w
block-detach main xvdz
block-detach nobody xvdz
network-list nobody
network-attach nobody bridge=x
network-detach main 7
sched-credit2 -w 5
sched-credit2 -d nobody
sched-credit -d nobody
cpupool-list nopool
cpupool-destroy nopool
cpupool-create
cpupool-migrate main nopool
cpupool-cpu-add nopool 1
cpupool-rename nopool other
debug-keys
config-update nobody
claims
nonsense
LINES
    [ -z "$wrong" ]
}
[ -x "$theirs" ] && check "exit codes are stock xl's" codes
check "the guest is the same" [ "$(domid main)" = "$made" ]
check "nothing is left of all that" nothing_left
check "destroy" xl destroy main
check "gone" gone main

# --- autostart -----------------------------------------------------------------------------------------------------
if [ "$(whose xl)" = ours ]; then
    remember
    mkdir -p /etc/xen/auto
    config one "memory = 96" >/dev/null
    config two "memory = 96" >/dev/null
    ln -s /tmp/guests/one.cfg /etc/xen/auto/10-one
    ln -s /tmp/guests/two.cfg /etc/xen/auto/20-two
    echo "kernel = 'broken" >/etc/xen/auto/15-broken
    cp /tmp/guests/one.cfg /etc/xen/auto/one.cfg~
    check "autostart says what it could not start" sh -c '! xl autostart >/tmp/auto 2>&1; grep -q 15-broken /tmp/auto'
    check "the others run" sh -c 'xl domid one && xl domid two'
    check "the second is ready" ready two
    rm /etc/xen/auto/15-broken
    check "again: they run already" xl autostart
    check "the first is ready" ready one
    check "shutdown -a" xl shutdown -a -w
    check "gone" gone one
    check "gone" gone two
    check "nothing is left" nothing_left
    rm -r /etc/xen/auto
fi
check "all invariants hold" checker
[ $failures = 0 ] || evidence
