# The serial console's input belongs to dom0 until Ctrl-A has been typed three times.
say "press Ctrl-A three times"
if read -r -t 60 line; then
    check "the line came to dom0, the debug key did not" [ "$line" = done ]
else
    check "input comes back to dom0" false
fi
