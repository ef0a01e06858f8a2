# What a person does first, in a dom0 with Oxen's own tools and none of Xen's. The harness types into the guest's console.
. /oxen/lib/guests.sh
check "none of Xen's own tools" [ ! -e "$stock" ]
start_tools
mkdir -p /var/lib/oxen
truncate -s 64M /var/lib/oxen/data.img
# What dom0 and the hypervisor make once and keep is made before anything is counted.
xl create -pq /etc/oxen/demo.cfg && xl destroy demo
check "destroyed while paused" gone demo
free=$(free_pages)

on_terminal() { setsid cttyhack "$@" </dev/console >/dev/console 2>&1; }
say "here is its console"
on_terminal xl create -c /etc/oxen/demo.cfg
say "its console was left"
check "xl list" sh -c 'xl list | grep -q "^demo  *[0-9]* *128 *1 "'
check "xl list as JSON" sh -c 'xl list -l demo | grep -q "\"name\": \"demo\""'
check "block-attach" xl block-attach demo file:/var/lib/oxen/data.img,xvdb,w
check "vcpu-set" xl vcpu-set demo 2
check "mem-set" xl mem-set demo 256
say "here is its console again"
on_terminal xl console demo
say "its console was left again"
check "the image has what the guest wrote" sh -c 'head -c 14 /var/lib/oxen/data.img | grep -q from-the-guest'
larger() { [ "$(xl list demo | awk 'NR == 2 { print $3 }')" -ge 255 ]; }
check "it has the memory" within 120 larger
check "shutdown -w" xl shutdown -w demo
check "gone" gone demo
check "memory is back" back "$free"
check "no loop device is left" sh -c '[ -z "$(losetup -a)" ]'
check "all invariants hold" checker
[ $failures = 0 ] || evidence
