# The daemons die, are told to end, are replaced: guests go on, and can be changed afterwards.
# What only our daemons promise is asked of ours only.
. /oxen/lib/guests.sh
start_tools
truncate -s 8M /tmp/first.img /tmp/second.img
check "create" create keep "disk = [ 'file:/tmp/first.img,xvda,w' ]"
domid keep >/dev/null || { evidence; return; }
# Everything that goes through xenstore: a disk that comes, works, and goes.
works() {
    xl block-attach keep file:/tmp/second.img,xvdb,w || return 1
    in_guest keep 'for i in 1 2 3 4 5 6 7 8 9 10; do [ -b /dev/xvdb ] && break; sleep 1; done; echo written >/dev/xvdb && sync' || return 1
    head -c 7 /tmp/second.img | grep -q written || return 1
    xl block-detach keep xvdb || return 1
    in_guest keep 'for i in 1 2 3 4 5 6 7 8 9 10; do [ -b /dev/xvdb ] || break; sleep 1; done; ! [ -b /dev/xvdb ]' || return 1
    truncate -s 0 /tmp/second.img && truncate -s 8M /tmp/second.img
}
pid_of() { cat "/run/$1.pid"; }
ended() { ! kill -0 "$1" 2>/dev/null; }
# Attached and written before everything, read after each step.
in_guest keep 'for i in 1 2 3 4 5 6 7 8 9 10; do [ -b /dev/xvda ] && break; sleep 1; done; echo kept >/dev/xvda; sync' >/dev/null
kept() { prints kept in_guest keep 'echo 3 >/proc/sys/vm/drop_caches; head -c 4 /dev/xvda; echo'; }
check "a disk comes and goes" works
remember

# --- consoles ------------------------------------------------------------------------------------------------------
if [ "$(whose xenconsoled)" = ours ]; then
    # Its file with its number goes with it.
    stop_consoled() { old=$(pid_of xenconsoled) && kill "$old" && within 30 ended "$old"; }
    start_consoled() { /oxen/bin/xenconsoled --log=guest --log-dir=$logs --pid-file=/run/xenconsoled.pid "$@"; }
    for signal in KILL TERM; do
        old=$(pid_of xenconsoled)
        tell keep "i=0; while [ \$i -lt 300 ]; do i=\$((i + 1)); echo \"$signal line \$i.\"; done; sleep 1; echo printed"
        usleep 200000
        kill -$signal "$old"
        check "xenconsoled ends ($signal)" within 30 ended "$old"
        check "the guest lives" xl domid keep
        if [ "$(whose xl)" = ours ]; then
            check "xl console says what is missing ($signal)" sh -c '! timeout 60 xl console keep </dev/null >/tmp/refused 2>&1; grep -q xenconsoled /tmp/refused'
        fi
        check "xenconsoled starts again" start_consoled
        check "the guest was heard to its end" answer keep
        lost() { awk -v "what=$signal line" '$1 " " $2 == what { seen[$3 + 0] = 1 } END { for (i = 1; i <= 300; i++) if (!seen[i]) print i }' "$(log_of keep)"; }
        check "nothing it said is lost ($signal)" prints "" lost
        check "it answers ($signal)" prints 42 in_guest keep 'echo $((6 * 7))'
    done
    # Somebody looks while the log is put aside.
    stop_consoled
    check "xenconsoled starts with small logs" start_consoled --log-limit=16384
    timeout 300 xl console keep >/tmp/viewer </dev/null 2>&1 &
    viewer=$!
    tell keep 'i=0; while [ $i -lt 1000 ]; do i=$((i + 1)); echo "a line of some forty characters, number $i."; done'
    check "logs are put aside" within 120 test -s "$(log_of keep).2"
    check "a viewer sees all of it" within 120 grep -q 'number 1000\.' /tmp/viewer
    check "a log is no larger than its limit" sh -c "[ \$(stat -c %s $(log_of keep).1) -le 16384 ]"
    kill $viewer
    stop_consoled
    rm -f "$(log_of keep)"*
    check "xenconsoled starts with large logs" start_consoled
    check "it answers" prints 42 in_guest keep 'echo $((6 * 7))'
fi

# --- xenstored -----------------------------------------------------------------------------------------------------
if [ "$(whose xenstored)" = ours ]; then
    check "live update" xenstore-control live-update -F /oxen/bin/xenstored
    check "a disk comes and goes after a live update" works
    check "the first disk is as it was" kept
    # Who watches over the guest, too, has to come back: `xl reboot` below needs it.
    for signal in KILL TERM; do
        # What changed last has to be in its file.
        sleep 1
        old=$(pid_of xenstored)
        terminal_known=$(terminal_of keep)
        kill -$signal "$old"
        check "xenstored ends ($signal)" within 30 ended "$old"
        check "the guest's disk works without xenstored ($signal)" kept
        terminal_known=
        if [ "$(whose xl)" = ours ]; then
            check "xl says what is missing ($signal)" sh -c '! timeout 60 xl create -q /tmp/guests/keep.cfg name=other >/tmp/refused 2>&1; grep -q "xenstored" /tmp/refused'
        fi
        check "xenstored starts again" /oxen/bin/xenstored --pid-file /run/xenstored.pid
        check "the store is consistent ($signal)" xenstore-control check
        check "a disk comes and goes ($signal)" works
        check "the first disk is as it was ($signal)" kept
    done
fi
# Stock xl's own process has lost its connection to xenstored for good; it may have noticed and ended, or not.
if [ "$(whose xl)" = stock ] && [ "$(whose xenstored)" = ours ]; then
    for process in $(pidof xl); do kill "$process"; done
    sed -i '/^xl$/d' /tmp/things
fi
check "nothing is left of all that" nothing_left
if [ "$(whose xl)" = ours ]; then
    rm "$(log_of keep)"
    was=$(domid keep)
    another() { now=$(domid keep) && [ "$now" != "$was" ]; }
    check "reboot" xl reboot keep
    check "it comes back" ready keep
    check "as another domain" another
    check "the first disk is as it was" in_guest keep 'for i in 1 2 3 4 5 6 7 8 9 10; do [ -b /dev/xvda ] && break; sleep 1; done; head -c 4 /dev/xvda | grep -q kept'
    check "shut down" xl shutdown -w keep
else
    # Nobody is left who would end the domain.
    check "destroy" xl destroy keep
fi
check "gone" gone keep
check "no loop device is left" within 30 sh -c '[ -z "$(losetup -a)" ]'
check "all invariants hold" checker
[ $failures = 0 ] || evidence
