#!/usr/bin/env bash
# Runs the scripted agent in a box, in a scratch project with a scratch home, and judges what came of each attempt by
# the agent's own word and by what can be seen from outside. Exits 0 when all ten went as they should.
#   run.sh PATH/TO/agentbox
set -euo pipefail
unset XDG_STATE_HOME XDG_CONFIG_HOME

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
box=$(realpath "${1:?usage: run.sh PATH/TO/agentbox}")
scratch=$(mktemp -d "${TMPDIR:-/tmp}/agentbox-demo.XXXXXX")
server=

finish() {
	[ -z "$server" ] || kill "$server" 2>/dev/null || true
	rm -rf "$scratch"
}
trap finish EXIT

mkdir -p "$scratch/home/.ssh" "$scratch/project"
chmod 755 "$scratch" "$scratch/home" "$scratch/home/.ssh" "$scratch/project"
secret="planted-$RANDOM$RANDOM"
echo "$secret" >"$scratch/home/.ssh/id_ed25519" # readable by all: only the box keeps it from the agent
"${CC:-gcc}" -static -O2 -Wall -o "$scratch/project/try" "$here/try.c"
install -m 755 "$here/agent.sh" "$scratch/project/agent.sh"

mkfifo "$scratch/ready"
cp "$scratch/project/try" "$scratch/agentbox-demo-outside"
"$scratch/agentbox-demo-outside" serve "$scratch/port" "$scratch/visited" >"$scratch/ready" &
server=$!
read -r _ <"$scratch/ready"

status=0
(cd "$scratch/project" && HOME="$scratch/home" "$box" run -- ./agent.sh "$(cat "$scratch/port")" "$server") \
	>"$scratch/answers" 2>"$scratch/messages" || status=$?
if [ "$status" -ne 0 ]; then
	cat "$scratch/answers" "$scratch/messages" >&2
	echo "demo: the box ended with status $status" >&2
	exit 1
fi

green= red= dim= plain=
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
	green=$'\e[32m' red=$'\e[31m' dim=$'\e[2m' plain=$'\e[0m'
fi
good=0

# judge NAME TEXT EXPECTED CHECK...: the agent's answer must be the expected one, and the check, run outside, true.
judge() {
	local name=$1 text=$2 expected=$3 answer detail
	shift 3
	IFS=$'\t' read -r _ answer detail < <(grep "^$name"$'\t' "$scratch/answers") || true
	if [ "${answer:-silent}" = "$expected" ] && "$@"; then
		good=$((good + 1))
		printf '%s  ok  %s %-26s %-9s %s%s%s\n' "$green" "$plain" "$text" "$answer" "$dim" "$detail" "$plain"
	else
		printf '%s WRONG%s %-26s %-9s %s\n' "$red" "$plain" "$text" "${answer:-silent}" "${detail:-}"
	fi
}

# What it wrote is not in the project until somebody applies it.
wrote_project() {
	[ ! -e "$scratch/project/notes.txt" ] &&
		(cd "$scratch/project" && HOME="$scratch/home" "$box" apply --all) >>"$scratch/messages" 2>&1 &&
		[ -O "$scratch/project/notes.txt" ] && grep -q 'by the agent' "$scratch/project/notes.txt"
}
etc_untouched() { [ ! -e /etc/agentbox-demo ] && ! grep -qx x /etc/passwd; }
key_unread() { ! grep -q "$secret" "$scratch/answers" "$scratch/messages"; }
nobody_came() { [ ! -e "$scratch/visited" ]; }
no_setuid() { [ ! -u "$scratch/project/setuid-file" ] && [ ! -g "$scratch/project/setuid-file" ]; }
# The daemon wrote ten times a second while it lived: two looks half a second apart must be equal.
beats() { cat "$scratch"/home/.local/state/agentbox/sessions/*/workspace/upper/heartbeat | wc -c; }
first=$(beats)
sleep 0.5
second=$(beats)
daemon_gone() { [ "$first" -gt 0 ] && [ "$first" = "$second" ]; }

echo "A scripted agent in a box of $(id -un), and what came of each thing it tried:"
echo
judge project 'write its project' allowed wrote_project
judge etc 'write /etc' refused etc_untouched
judge ssh 'read ~/.ssh' refused key_unread
judge network 'open a connection' refused nobody_came
judge processes 'see host processes' refused true
judge userns 'make a user namespace' refused true
judge ptrace 'ptrace' refused true
judge mount 'mount' refused true
judge setuid 'setuid a file' refused no_setuid
judge outlive 'outlive the session' allowed daemon_gone
echo
if [ "$good" -ne 10 ]; then
	cat "$scratch/messages" >&2
	echo "$((10 - good)) of 10 went wrong"
	exit 1
fi
echo 'All ten went as they should. The daemon was started, and ended with the box.'
