# Completion of agentbox for bash 4.4 and newer: source <(agentbox completion bash)
# What it asks is the agentbox of PATH, not the word on the command line: pressing a key must not start a program of
# the current directory. No candidate is ever expanded or evaluated.
_agentbox() {
	local cur=${COMP_WORDS[COMP_CWORD]} kind= line lines=()
	COMPREPLY=()
	mapfile -t lines < <(command agentbox completion words "${COMP_WORDS[@]:0:COMP_CWORD+1}" 2>/dev/null)
	if ((${#lines[@]} > 0)); then
		kind=${lines[0]#:}
	fi
	for line in "${lines[@]:1}"; do
		COMPREPLY+=("${line%%$'\t'*}")
	done
	if [[ $cur == '=' ]]; then
		cur=
	fi
	case $kind in
	files)
		compopt -o filenames
		mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$cur")
		;;
	dirs)
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		;;
	'command '*)
		if declare -F _comp_command_offset >/dev/null; then
			_comp_command_offset "${kind#command }"
		elif declare -F _command_offset >/dev/null; then
			_command_offset "${kind#command }"
		elif ((COMP_CWORD == ${kind#command })); then
			compopt -o filenames
			mapfile -t COMPREPLY < <(compgen -c -- "$cur")
		else
			compopt -o filenames
			mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		fi
		;;
	esac
}
complete -F _agentbox agentbox
