# A guest that tries what security advisories tell of (tests/xsa-guest): each of its tests is a check here. Afterwards all
# memory is back and the hypervisor's own checker finds nothing.
. /oxen/lib/guests.sh
start_tools
hostile() {
    {
        echo "name = 'xsa'"
        echo "kernel = '$files/xsa'"
        echo "memory = 32"
        echo "vcpus = 2"
        # More than the bitmap of ports has (XSA-317).
        echo "max_event_channels = 8191"
        echo "on_crash = 'destroy'"
        echo "on_reboot = 'destroy'"
    } >/tmp/guests/xsa.cfg
    rm -f "$(log_of xsa)"
    xl create -q /tmp/guests/xsa.cfg && gone xsa 300
}
lines() { tr -d '\r' <"$(log_of xsa)" | grep '^%%'; }
# The first guest of all makes dom0 and Xen keep what nobody gives back.
hostile
free=$(free_pages)
check "the guest runs to its own end" hostile
lines | while read -r _ verdict test; do
    case $verdict in
    ok | skip | FAIL) echo "$verdict $test" ;;
    esac
done >/tmp/verdicts
while read -r verdict test; do
    say "$verdict $test"
done </tmp/verdicts
failed=$(grep -c '^FAIL' /tmp/verdicts)
check "no test failed" [ "$failed" = 0 ]
check "all tests came to a verdict" [ "%% done $(wc -l </tmp/verdicts)" = "$(lines | tail -n 1)" ]
check "most tests were no skips" [ "$(grep -c '^ok' /tmp/verdicts)" -ge 45 ]
check "memory is back" back "$free"
check "all invariants hold" checker
[ $failures = 0 ] || evidence
