package shell

import (
	"slices"
	"strings"
	"testing"
)

// starts lists the programs of a line, each behind what starts it.
func starts(a Analysis) string {
	var list []string
	for _, c := range a.Commands {
		name := c.Name
		if name == "" {
			name = "?"
		}
		list = append(list, strings.Join(append(slices.Clone(c.Via), name), ">"))
	}
	return strings.Join(list, " ")
}

func TestPrograms(t *testing.T) {
	for line, want := range map[string]string{
		"":                                               "",
		"# a comment":                                    "",
		"ls -la; rm x && echo y || true":                 "ls rm echo true",
		"ls | head -3 |& wc & date":                      "ls head wc date",
		"ls # no\nrm x":                                  "ls rm",
		"ls '#'; rm x":                                   "ls rm",
		`r''m x; "rm" y; \rm z; 'r'"m" w`:                "rm rm rm rm",
		`$'\x72\155' x`:                                  "rm",
		"/usr/./bin//rm x; ../bin/rm y":                  "rm rm",
		"(rm x); { ls; }; ! true; time ls":               "rm ls true ls",
		"if a; then b; elif c; then d; else e; fi":       "a b c d e",
		"for i in $(a); do b; done":                      "a b",
		"while a; do b; done; until c; do d; done":       "a b c d",
		"case $(a) in x) b;; $(c)) d;; esac":             "a b c d",
		"ls(){ rm x; }; ls":                              "rm ls",
		`git log "$(rm x)" ` + "`id`":                    "rm id git",
		"diff <(curl a) >(sh -c id)":                     "curl sh sh>id diff",
		"echo ${X:-$(rm x)} $((1+$(a)))":                 "rm a echo",
		"a=( $(x) ); export B=$(y)":                      "x y export",
		"cat <<E\n$(rm x)\nE":                            "rm cat",
		"cat <<'E'\n$(rm x)\nE":                          "cat",
		"bash <<'E'\nrm x\nE":                            "bash bash>rm",
		"sh <<<'rm x'":                                   "sh sh>rm",
		"[[ -f $(a) ]]":                                  "a",
		"coproc rm x":                                    "rm",
		"FOO=1 rm x; env rm y; env -i A=1 rm":            "rm env env>rm env env>rm",
		"env -S 'rm -rf x'; env -u A -C d rm":            "env env>rm env env>rm",
		"command rm; builtin command rm; exec -a b rm":   "command command>rm builtin builtin>command builtin>command>rm exec exec>rm",
		"command -v rm":                                  "command",
		"timeout -k 1 5 nice -n 3 nohup rm x":            "timeout timeout>nice timeout>nice>nohup timeout>nice>nohup>rm",
		"sudo -u u A=1 rm; doas rm; chroot / rm":         "sudo sudo>rm doas doas>rm chroot chroot>rm",
		"ls | xargs -I{} -n 1 rm {}":                     "ls xargs xargs>rm",
		"busybox rm x; setsid -w rm; stdbuf -o0 rm":      "busybox busybox>rm setsid setsid>rm stdbuf stdbuf>rm",
		`find . -exec rm {} + -o -ok mv {} b \;`:         "find find>rm find>mv",
		"find . -delete":                                 "find find>rm",
		"fd -e go -x rm":                                 "fd fd>rm",
		"watch -n 1 rm x; flock f rm; flock f -c 'rm x'": "watch watch>rm flock flock>rm flock flock>rm",
		`bash -lc "sh -c 'rm x'"`:                        "bash bash>sh bash>sh>rm",
		"bash -c -- 'rm x'":                              "bash bash>rm",
		"eval rm x; eval 'a; b'; trap 'rm x' EXIT":       "eval eval>rm eval eval>a eval>b trap trap>rm",
		"git -c alias.x='!rm y' x":                       "git git>rm",
		"git rebase -x 'rm x' main; git bisect run rm; git submodule foreach rm x": "git git>rm git git>rm git git>rm",
		"npx -y evil a; npm exec -- b; pnpm dlx c":                                 "npx npx>evil npm npm>b pnpm pnpm>c",
		"python3.12 -c 'x'; node -e 1":                                             "python node",
	} {
		a := Analyze(line)
		if got := starts(a); got != want || a.Broken {
			t.Errorf("%q starts %q, want %q (%v)", line, got, want, a.Unclear)
		}
		if len(a.Unclear) > 0 {
			t.Errorf("%q is unclear: %q", line, a.Unclear)
		}
	}
}

func TestUnclear(t *testing.T) {
	for _, line := range []string{
		"X=rm; $X x", `set -- rm x; "$@"`, "${!Y} x", `"$0" -c id`, "$(which rm) x", "r? x", "{rm,x}", "r\u200bm x", "ｒｍ x", "ls\u00a0; rm x",
		"curl x | sh", "echo cm0= | base64 -d | bash", "printf 'rm x' | bash", "ls |& sh", "cat >(sh)", "sh", "bash < f", "python3 - <f", "curl x | python3",
		"source /dev/stdin", `. <(curl x)`, `eval "$x"`, `bash -c "$x"`, `sh -c "rm $x"`, "trap \"$x\" EXIT", "bash --rcfile x -c ls",
		"alias ls=rm", "enable -f x y", "hash -p /tmp/x ls", "PATH=/tmp:$PATH ls", "export PATH=/tmp", "env LD_PRELOAD=x ls", "declare -x BASH_ENV=x", "IFS=x",
		"GIT_SSH_COMMAND=x git fetch", "PAGER=x man ls", "read PATH", "printf -v PATH x", `export "$x"`,
		"sudo --frobnicate rm", "timeout --unknown 5 rm", `timeout "$n" rm`, "env --unknown rm", `env -S "$x"`, "find . $x", "watch --unknown ls",
		"git -c core.pager=x log", "git -c diff.external=./e diff", "git --exec-path=. status", "git --config-env=core.pager=X log", "git fetch 'ext::sh -c id'",
		"git clone --upload-pack=x y", "git grep -Ox y", "git --git-dir=/tmp/x status", "git difftool", `git -c "$x" log`,
		"tar -I x -cf a b", "tar --to-command=x -xf a", "tar --checkpoint-action=exec=x -cf a b", "rsync -e x a b", "vim -c '!id' x", "make SHELL=x", "man -P x ls",
		"awk 'BEGIN{system(\"id\")}'", "awk '{print | \"sh\"}'", `awk "$x"`, "sed 's/a/b/e' f", "sed 1e f", "sed -n 'w /tmp/x' f", `sed "$x" f`, "sort --compress-program=x",
		`x='$(rm y)'; echo "${x@P}"`, `x='a[$(rm y)]'; echo $((x))`, `test -v 'a[$(rm y)]'`, `[[ -v 'a[$(rm y)]' ]]`, `echo ${!x}`, `read 'a[$(rm y)]'`, "printf -v 'a[`id`]' x",
		"parallel rm ::: x", "strace rm", "script -c rm", "su -c rm", "systemd-run rm", "unshare rm",
	} {
		if a := Analyze(line); len(a.Unclear) == 0 && !a.Broken {
			t.Errorf("%q is taken to start no more than %q", line, starts(a))
		}
	}
}

func TestBroken(t *testing.T) {
	deep := strings.Repeat("sh -c '", 1)
	for what, line := range map[string]string{
		"an open quote":            "ls 'x; rm y",
		"an open parenthesis":      "(ls",
		"no Unicode":               "ls \xff",
		"a null":                   "ls\x00rm",
		"a letter that turns text": "cat \u202e.env",
		"a long line":              "echo " + strings.Repeat("a", MaxLine),
		"many commands":            strings.Repeat("true;", maxCommands+2),
		"many parentheses":         strings.Repeat("(", 500) + "rm x" + strings.Repeat(")", 500),
		"an open here-document":    deep + "rm",
	} {
		if a := Analyze(line); !a.Broken || len(a.Unclear) == 0 {
			t.Errorf("%s: %q", what, starts(a))
		}
	}
}

func TestFiles(t *testing.T) {
	for line, want := range map[string]string{
		"echo x >a 2>>b &>c >|d":    "w:a w:b w:c W:d",
		"cat <a 3<>b":               "r:a r:b w:b",
		"ls 2>&1 >&- <&3":           "",
		"{ ls; } >a; (ls) >b":       "w:a w:b",
		"bash script; source ./x":   "r:script r:./x",
		"find . -fprintf /tmp/x %p": "w:/tmp/x",
		"python3 -u a.py":           "r:a.py",
		"exec 3<>/x":                "r:/x w:/x",
	} {
		var got []string
		for _, f := range Analyze(line).Files {
			mark := [...]string{"r:", "w:"}[f.Access]
			if f.Forced {
				mark = "W:"
			}
			got = append(got, mark+f.Text)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q touches %q, want %q", line, got, want)
		}
	}
}

// sed and awk are read closely enough for what people write every day.
func TestPlainScripts(t *testing.T) {
	for _, line := range []string{
		"sed -n 1,5p f", "sed -i 's/a/b/g; /x/d' f", "sed -e 's|/w|/e|' -e '$!N' f", "sed '/we/,/ew/s/w/e/2' f", "sed 's/a\\/e/b/' f", `sed '/start/a\
text with we' f`, "awk '{print $1}' f", "awk -F: '$3 > 5 || /x/ {n++} END {print n}' f", "tar czf a.tgz b", "tar -xf a", "ssh h ls", "make -j4 test CFLAGS=-O2",
		"git -C d status", "git -c color.ui=never log -p --stat", "git commit -m 'x: y'", "n=1; echo $((n+1)) ${n:-2} ${#n}", "[ -f a ] && [[ $n == 1* ]]", "printf '%s\\n' a", "xargs -0 -P4 grep x", "grep -rn 'a(b' .", "python3 -m pytest -q", "npm run build",
	} {
		if a := Analyze(line); len(a.Unclear) > 0 {
			t.Errorf("%q: %q", line, a.Unclear)
		}
	}
}

// Nothing makes it panic, and what a line starts is found when another shell is given it.
func FuzzAnalyze(f *testing.F) {
	for _, s := range []string{"ls | xargs rm", "bash <<'E'\nrm\nE", "env -S 'a b' c", "git -c a=b x", "find . -exec a \\;", "sed s/a/b/e", "$'\\u00e9\\x41\\101\\cA'", "a=(1 2); for i in {1..3}; do :; done", "sudo -- -x", "awk -v"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		a := Analyze(line)
		if a.Broken || len(line) > 1000 || strings.ContainsAny(line, "'") {
			return
		}
		inner := Analyze("bash -c '" + line + "'")
		if inner.Broken {
			return
		}
		names := map[string]bool{}
		for _, c := range inner.Commands {
			names[c.Name] = true
		}
		for _, c := range a.Commands {
			if !names[c.Name] && len(inner.Unclear) == 0 {
				t.Errorf("%q: %q is not found in another shell", line, c.Name)
			}
		}
	})
}
