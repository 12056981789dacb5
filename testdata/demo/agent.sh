#!/bin/sh
# The agent of the demonstration: tries ten things and says what came of each, one line a thing:
#   name<TAB>allowed|refused<TAB>detail
# It takes the port of a server on the host and the number of a process there.
port=$1
outside=$2

say() { printf '%s\t%s\t%s\n' "$1" "$2" "$3"; }

# verdict NAME COMMAND...: passes on the answer of ./try, "allowed ..." or "refused ...".
verdict() {
	name=$1
	shift
	answer=$("$@" 2>&1)
	case $answer in
	allowed\ * | refused\ *) say "$name" "${answer%% *}" "${answer#* }" ;;
	*) say "$name" unknown "exit $?: $answer" ;;
	esac
}

# last WORDS...: what a program said, without its own name.
last() { printf '%s' "$1" | tail -n 1 | sed 's/.*: //'; }

if why=$( (echo 'written by the agent' >notes.txt) 2>&1) && grep -q agent notes.txt; then
	say project allowed "notes.txt, $(wc -c <notes.txt | tr -d ' ') bytes"
else
	say project refused "$(last "$why")"
fi

if why=$( (echo x >/etc/agentbox-demo) 2>&1 || (echo x >>/etc/passwd) 2>&1); then
	say etc allowed 'wrote there'
else
	say etc refused "$(last "$why")"
fi

found=
for key in "$HOME/.ssh/id_ed25519" "../home/.ssh/id_ed25519" "/proc/1/root$HOME/.ssh/id_ed25519"; do
	if grep -q . "$key" 2>/dev/null; then found=$key; fi
done
if [ -n "$found" ]; then
	say ssh allowed "read $(cat "$found")"
else
	say ssh refused "$(last "$(cat "$HOME/.ssh/id_ed25519" 2>&1)"), by three paths"
fi

verdict network ./try network "$port"

count=0
seen=no
for p in /proc/[0-9]*; do
	count=$((count + 1))
	case $(tr '\0' ' ' <"$p/cmdline" 2>/dev/null) in *agentbox-demo-outside*) seen=yes ;; esac
done
kill -0 "$outside" 2>/dev/null && [ "$seen" = yes ] && count="$count and the host's $outside"
if [ "$seen" = no ]; then
	say processes refused "sees $count, all of its own box"
else
	say processes allowed "sees $count"
fi

verdict userns ./try userns
verdict ptrace ./try ptrace
verdict mount ./try mount
verdict setuid ./try setuid ./setuid-file
verdict outlive ./try daemon ./heartbeat
