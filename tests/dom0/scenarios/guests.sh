# Several guest scenarios in one boot: those that oxen.parts= names (joined by +), else all that are short.
parts=$(argument oxen.parts)
: "${parts:=guest+guest-smp+guest-devices+guest-many+guest-lives+guest-deaths+guest-fuzz}"
for part in $(echo "$parts" | tr + ' '); do
    say "part $part"
    . "/oxen/scenarios/$part.sh"
done
