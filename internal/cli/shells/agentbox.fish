# Completion of agentbox for fish 3.1 and newer: agentbox completion fish | source
# What it asks is the agentbox of PATH, not the word on the command line: pressing a key must not start a program of
# the current directory. No candidate is ever expanded or evaluated.
function __agentbox_complete
    set -l asked (commandline -opc)
    set -l word (commandline -ct)
    set -l before ''
    if string match -qr -- '^--[^=]+=' $word
        set -l parts (string split -m 1 = -- $word)
        set before "$parts[1]="
        set asked $asked $parts[1] =
        set word $parts[2]
    end
    set -l lines (command agentbox completion words $asked "$word" 2>/dev/null)
    set -q lines[1]; or return
    set -l kind (string split ' ' -- (string sub -s 2 -- $lines[1]))
    for line in $lines[2..-1]
        printf '%s%s\n' $before $line
    end
    switch "$kind[1]"
        case files
            for line in (__fish_complete_path "$word")
                printf '%s%s\n' $before $line
            end
        case dirs
            for line in (__fish_complete_directories "$word" '')
                printf '%s%s\n' $before $line
            end
        case command
            if test (count $asked) -eq "$kind[2]"
                __fish_complete_command
            else
                __fish_complete_path "$word"
            end
    end
end
complete -c agentbox -e
complete -c agentbox -f -a '(__agentbox_complete)'
