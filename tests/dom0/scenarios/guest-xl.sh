# Our xl: what it makes beside what stock xl makes, what bad input gets, that nothing is left over.
. /oxen/lib/guests.sh
start_tools
ours=/oxen/bin/xl
theirs=$stock/xl

# What a failed create must leave as it was.
state() { "$ours" list | wc -l; xenstore-ls -f /local/domain | grep -cv '^/local/domain/0'; xenstore-ls -f /libxl 2>/dev/null | wc -l; ls /var/lib/xen | wc -l; }
# refused TEXT COMMAND...: fails, says it, and changes nothing.
refused() {
    text=$1
    shift
    before=$(state)
    "$@" >/tmp/refused.out 2>&1 && { echo "it did not fail"; return 1; }
    grep -q -e "$text" /tmp/refused.out || { cat /tmp/refused.out; return 1; }
    [ "$(state)" = "$before" ] || { echo "something is left over"; xenstore-ls -f /libxl; return 1; }
}

# Once each, so that both have made what they keep.
started=$(cut -d' ' -f1 /proc/uptime)
check "ours creates paused" "$ours" create -q -p "$(config one)"
say "seconds: ours created in $started .. $(cut -d' ' -f1 /proc/uptime)"
check "stock xl lists ours" sh -c "$theirs list one | grep -q -e ' --p--- '"
check "stock xl knows its configuration" sh -c "$theirs list -l one | grep -q '\"name\": \"one\"'"
check "ours as JSON" sh -c "$ours list -l one | grep -q '\"max_memkb\": 131072'"
check "stock xl destroys ours" "$theirs" destroy one
check "it is gone" gone one
started=$(cut -d' ' -f1 /proc/uptime)
check "stock xl creates paused" "$theirs" create -q -p "$(config two)"
say "seconds: stock created in $started .. $(cut -d' ' -f1 /proc/uptime)"
check "ours lists stock's" sh -c "$ours list two | grep -q -e ' --p--- '"
xenstore-ls -f -p "/local/domain/$("$ours" domid two)" | sed 's/[0-9]*//g' | sort >/tmp/stock.layout
check "ours destroys stock's" "$ours" destroy two
check "it is gone" gone two
"$ours" create -q -p "$(config three)"
xenstore-ls -f -p "/local/domain/$("$ours" domid three)" | sed 's/[0-9]*//g' | sort >/tmp/our.layout
diff /tmp/stock.layout /tmp/our.layout
check "rename" "$ours" rename three drei
check "domname" prints drei "$ours" domname "$("$ours" domid drei)"
check "a name in use" refused 'exists already' "$ours" create "$(config drei)"
check "destroy" "$ours" destroy drei
free=$(free_pages)

check "typographic quotes" refused 'typographic double quote' "$ours" create "$(config q 'extra = “quiet”')"
check "no such file" refused 'cannot read' "$ours" create /nowhere.cfg
check "no such kernel" refused 'cannot read /nowhere' "$ours" create "$(config k)" "kernel=/nowhere"
check "a kernel without PV" refused 'is not a kernel' "$ours" create "$(config k)" kernel=/init
check "too little memory" refused 'raise memory=' "$ours" create "$(config k)" memory=8
check "too much memory" refused 'not enough free memory' "$ours" create "$(config k)" memory=100000
check "a missing disk" refused 'nowhere' "$ours" create "$(config k)" "disk=['file:/nowhere.img,xvda,w']"
check "an unknown kind" refused 'is no kind of guest' "$ours" create "$(config k)" type=zoo
check "no such domain" refused 'no domain' "$ours" destroy nobody
interrupted() {
    "$ours" create "$(config i)" >/tmp/refused.out 2>&1 &
    pid=$!
    # As soon as there is something to leave behind.
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do "$ours" domid i >/dev/null 2>&1 && break; done
    kill -INT $pid
    wait $pid && return 1
    grep -q 'interrupted; nothing' /tmp/refused.out || { cat /tmp/refused.out; return 1; }
}
check "Ctrl-C leaves nothing" interrupted
check "nothing of it" absent i
check "memory is back" back "$free"
[ $failures = 0 ] || evidence
