# One guest's life: made paused and running, seen, talked to, shut down, rebooted, destroyed; memory exactly back.
. /oxen/lib/guests.sh
start_tools
check "all invariants hold at the beginning" checker

# The first guest makes dom0 and the hypervisor set up what they keep.
check "create paused" xl create -p "$(config first)"
check "a paused guest is in the list" sh -c 'xl list first | grep -q " [r-][b-]p--- "'
check "destroy a paused guest" xl destroy first
check "it is gone" gone first
free=$(free_pages)
say "free pages $free"

check "create paused again" xl create -p "$(config paused)"
check "unpause" xl unpause paused
check "it runs" ready paused
check "xl list shows it" sh -c 'xl list | grep -q "^paused  *[0-9]* *128 *1 "'
check "xl vcpu-list shows it" sh -c 'xl vcpu-list paused | grep -q "^paused "'
check "it answers" prints 42 in_guest paused 'echo $((6 * 7))'
check "its kernel knows where it runs" prints "xen PV" in_guest paused 'echo $(cat /sys/hypervisor/type /sys/hypervisor/guest_type)'
check "shut down" xl shutdown -w paused
check "gone after shutdown" gone paused
check "memory is back" back "$free"

check "create" create main
check "all invariants hold with a guest" checker
check "debug keys" sh -c 'xl debug-keys q && xl debug-keys e && xl debug-keys g'
before=$(domid main)
rm /var/log/xen/console/guest-main.log
check "reboot" xl reboot main
check "it comes back" ready main
check "as another domain" [ "$(domid main)" != "$before" ]
check "destroy" xl destroy main
check "gone after destroy" gone main
check "memory is back" back "$free"

# Its console on this terminal: -c ends when the guest does.
mkfifo /tmp/typed
exec 3<>/tmp/typed
config console "cmdline = 'console=hvc0 loglevel=4 guest.then=poweroff'" >/dev/null
shown_here() { timeout 300 xl create -c /tmp/guests/console.cfg <&3 >/tmp/console.log 2>&1; }
check "create -c ends when its guest does" shown_here
exec 3>&-
check "create -c shows the console" sh -c 'grep -q "^%% ready" /tmp/console.log || ! cat /tmp/console.log'
check "gone by itself" gone console
check "memory is back" back "$free"
check "all invariants hold in the end" checker
[ $failures = 0 ] || evidence
