package scaffold

import (
	"bytes"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// most bounds a list in the profile: a longer one is for a person to shorten into a pattern.
const most = 30

// Write makes a profile of what was found. Lines that begin with "#" and no space behind it are proposals: without the
// "#" they are valid too.
func Write(p Project) []byte {
	w := &writer{}
	w.head(p)
	w.agent()
	w.workspace(p)
	w.network(p)
	w.rest(p)
	return w.Bytes()
}

type writer struct{ bytes.Buffer }

func (w *writer) line(format string, args ...any) { fmt.Fprintf(&w.Buffer, format+"\n", args...) }

func (w *writer) head(p Project) {
	w.line("# What an agent may see, write and reach in this project. `agentbox check` says what is wrong with this file, and")
	w.line("# `agentbox explain` what comes of it; agentbox.toml(5) has every key.")
	w.line("#")
	w.line("# An agent may be able to write this file, so by itself it can only tighten the profile. What widens it holds after")
	w.line("# `agentbox trust`, until the file changes.")
	w.line("#")
	if len(p.Languages) == 0 {
		w.line("# No language was recognised here.")
	} else {
		w.line("# Found: %s.", strings.Join(p.Languages, ", "))
	}
	w.list("Tools", p.Tools)
	w.list("Lock files", quoted(p.LockFiles))
	var systems []string
	for _, at := range p.CI {
		if name := ciSystems[at]; !slices.Contains(systems, name) {
			systems = append(systems, name)
		}
	}
	w.list("CI", systems)
	if p.Cut {
		w.line("# There is more in this project than was looked at.")
	}
	w.line("schema = 1")
}

// list names what was found, some of it if there is much.
func (w *writer) list(what string, items []string) {
	const few = 12
	if len(items) == 0 {
		return
	}
	more := ""
	if len(items) > few {
		more, items = fmt.Sprintf(" and %d more", len(items)-few), items[:few]
	}
	w.line("# %s: %s%s.", what, strings.Join(items, ", "), more)
}

func (w *writer) agent() {
	w.line("")
	w.line("[agent]")
	w.line("# What `agentbox run` starts when it is given no command. It is not passed through a shell.")
	w.line(`#command = ["claude"]`)
}

func (w *writer) workspace(p Project) {
	w.line("")
	w.line("[workspace]")
	w.line("# Files whose content the agent must not read, besides those that every preset masks (.env*, keys, keystores).")
	if len(p.Secrets) == 0 {
		w.line(`#mask = ["*.tfstate", "/config/production.json"]`)
	} else {
		w.line("# These are named like secrets; remove what is none.")
		w.patterns("mask", p.Secrets, nil, nil)
	}
	var hold, offer []string
	class := map[string]string{}
	hold = append(hold, p.CI...)
	for _, h := range p.Handoffs {
		class[h.Path] = h.Class
		if h.Class == "CI" || h.Class == "git hooks" {
			hold = append(hold, h.Path)
		} else {
			offer = append(offer, h.Path)
		}
	}
	w.line("")
	w.line("# Files that the agent must not write, because something outside the box obeys them, besides those that every preset")
	w.line("# protects (git's hooks and configuration, editors' and agents' settings).")
	if len(hold)+len(offer) == 0 {
		w.line(`#protect = ["Makefile"]`)
		return
	}
	if len(offer) > 0 {
		w.line("# An agent has good reasons to write those behind a \"#\"; `agentbox apply` asks about each.")
	}
	w.patterns("protect", hold, offer, class)
}

// patterns writes a list of paths, those of offer as proposals. A path that does not print plainly is named and left
// for the person to write: it is not worth a pattern that nobody can read.
func (w *writer) patterns(key string, hold, offer []string, class map[string]string) {
	w.line("%s = [", key)
	var odd []string
	for i, list := range [][]string{hold, offer} {
		mark := "  "
		if i == 1 {
			mark = "  #"
		}
		for n, p := range list {
			pattern, ok := pattern(p)
			switch {
			case n >= most:
			case !ok:
				odd = append(odd, shown(p))
			case class[p] != "":
				w.line("%s%s, # %s", mark, text(pattern), class[p])
			default:
				w.line("%s%s,", mark, text(pattern))
			}
		}
		if len(list) > most {
			w.line("  # and %d more", len(list)-most)
		}
	}
	for _, o := range odd {
		w.line("  # not written here, because of its name: %s", o)
	}
	w.line("]")
}

func (w *writer) network(p Project) {
	w.line("")
	w.line("[network]")
	w.line("# What the agent may reach: a name is its port 443 alone. \"@npm\", \"@go\", \"@pip\" and \"@cargo\" stand for the registries that")
	w.line("# this machine's own tools are set to. A host that takes uploads is a way out for what the agent has read.")
	w.line("# Without the \"#\" this widens the profile, so it then wants `agentbox trust`.")
	w.line("#mode = \"allowlist\"")
	w.line("#allow = [")
	for _, r := range p.Registries {
		w.line("#%s,", text(r))
	}
	for _, r := range p.Remotes {
		w.line("#%s, # the git remote %s", text(r.Host), shown(r.Name))
	}
	w.line(`#"docs.example.com",`)
	w.line("#]")
	for _, l := range languages {
		if l.registry == "" && slices.Contains(p.Languages, l.name) {
			w.line("# The hosts of %s's packages have no such word; name them.", l.name)
		}
	}
}

func (w *writer) rest(p Project) {
	for _, l := range languages {
		if l.cache == "" || !slices.Contains(p.Languages, l.name) {
			continue
		}
		w.line("")
		w.line("# What this machine has already fetched for %s, to be read and not written. Write the path of your home in full.", l.name)
		w.line("#[[mount]]")
		w.line(`#type = "bind"`)
		w.line("#source = %s", text("~/"+l.cache))
		w.line("#target = %s", text("/home/YOU/"+l.cache))
		w.line(`#options = ["ro"]`)
	}
	w.line("")
	w.line("[permissions]")
	w.line("# Tool calls, in Claude Code's syntax. A denial of reading masks, one of editing protects, one of a domain closes it.")
	w.line(`#ask = ["Bash(git push:*)"]`)
	w.line(`#deny = ["Read(/private/**)", "Edit(/LICENSE)"]`)
	w.line("")
	w.line("[limits]")
	w.line(`#memory = "8GiB"`)
	w.line(`#timeout = "4h"`)
}

// pattern writes a path as a pattern that names it alone. ok is false for a name that a person could not read in it.
func pattern(p string) (string, bool) {
	switch {
	case !fs.ValidPath(p) || p == "." || len(p) > 200:
		return "", false
	case strings.ContainsFunc(p, func(r rune) bool { return !unicode.IsPrint(r) }), strings.HasSuffix(p, " "): // gitignore drops it
		return "", false
	}
	return "/" + strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(p), true
}

// text is a TOML string of something that prints plainly.
func text(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// shown is an untrusted name for a comment: one line of at most 80 characters, with escapes for what a terminal would
// obey.
func shown(s string) string {
	const width = 80
	if utf8.RuneCountInString(s) > width {
		s = string([]rune(s)[:width-1]) + "…"
	}
	return strconv.Quote(s)
}

// quoted is shown for several names.
func quoted(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = shown(n)
	}
	return out
}
