# An interactive shell on the console; leaving it powers the machine off.
mkdir -p /run/xenstored /var/log/xen/console /var/lib/xen /var/lib/oxen /var/lock
if on_xen; then
    # Debian's daemons where they are, else ours.
    if [ -x "$stock/xenstored" ]; then
        "$stock/xenstored" --pid-file /run/xenstored.pid && "$stock/xen-init-dom0" >/dev/null
    else
        xenstored --pid-file /run/xenstored.pid && xenconsoled --log=guest --log-dir=/var/log/xen/console --pid-file=/run/xenconsoled.pid
    fi || echo "xenstored did not start; xl still answers what needs no store"
fi
cat <<'TEXT'

  This is dom0: Debian's own kernel. Try:
    xl info         what the hypervisor says about the machine
    xl list         the domains
    xl vcpu-list    where their vCPUs run
    xl dmesg        the hypervisor's messages
    xl debug-keys h what the debug keys do
TEXT
if [ -e /etc/oxen/demo.cfg ]; then
    truncate -s 64M /var/lib/oxen/data.img
    cat <<'TEXT'
    xl create -c /etc/oxen/demo.cfg    a first guest; Ctrl-] leaves its console, xl console demo comes back
    xl block-attach demo file:/var/lib/oxen/data.img,xvdb,w
    xl vcpu-set demo 2; xl mem-set demo 256; xl shutdown -w demo
TEXT
else
    echo "  Stock tools are in $stock."
fi
echo '  `exit` powers off.'
echo
say "shell"
export PS1='dom0:\w# '
setsid cttyhack sh
