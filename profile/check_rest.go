package profile

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

func (c *checker) limits() {
	l := c.p.Limits
	atLeast(c, "limits.memory", l.Memory, 4<<20, 1<<50)
	atLeast(c, "limits.cpus", l.CPUs, 0.01, 4096)
	atLeast(c, "limits.pids", l.Pids, 4, 4194304) // the kernel's PID_MAX_LIMIT
	atLeast(c, "limits.disk", l.Disk, 1<<20, 1<<60)
	atLeast(c, "limits.open_files", l.OpenFiles, 16, 1<<30)
	atLeast(c, "limits.timeout", l.Timeout, Duration(time.Second), Duration(366*24*time.Hour))
	if l.Grace < Duration(time.Millisecond) || l.Grace > Duration(time.Hour) {
		c.add("limits.grace", fmt.Sprintf("%v is not between 1ms and 1h", l.Grace), "an agent that has nothing to save needs no more than some seconds")
	}
	atLeast(c, "limits.execs", l.Execs, 1, 1<<50)
	if l.Execs > 0 && !c.p.Audit.Exec {
		c.add("limits.execs", "nobody counts: audit.exec is false", "set it to true, or leave limits.execs out")
	}
	c.word("limits.enforcement", l.Enforcement)
}

// atLeast checks a limit's range; 0 means that there is none.
func atLeast[T Size | Duration | int64 | float64](c *checker, path string, v, low, high T) {
	if v != 0 && (v < low || v > high) {
		c.add(path, fmt.Sprintf("%v is not between %v and %v", v, low, high), "write 0 for no limit")
	}
}

var (
	plainName  = lazily(`^[a-z0-9][a-z0-9_-]{0,63}$`)
	toolName   = lazily(`^[A-Za-z0-9_./-]{1,128}$`)
	permission = lazily(`^(\*|[A-Za-z_][A-Za-z0-9_*-]*(\([^()]+(\([^()]*\)[^()]*)*\))?)$`)
	eventName  = lazily(`^[a-z][a-z0-9._-]{0,63}$`)
	rate       = lazily(`^[1-9][0-9]{0,8}/(s|min|h)$`)
)

// nameOK checks the name of a row.
func (c *checker) nameOK(at, name string) {
	if !plainName().MatchString(name) {
		c.add(at, fmt.Sprintf("%q is not a name", name), "use small letters, digits, - and _")
	}
}

func (c *checker) permissions() {
	c.each("permissions.allow", c.p.Permissions.Allow, func(s string) *complaint {
		if s == "*" {
			return &complaint{msg: `"*" would allow every tool`, hint: "name the tools"}
		}
		return ruleProblem(s)
	})
	c.each("permissions.ask", c.p.Permissions.Ask, ruleProblem)
	c.each("permissions.deny", c.p.Permissions.Deny, ruleProblem)
}

func ruleProblem(s string) *complaint {
	if permission().MatchString(s) {
		return nil
	}
	return &complaint{msg: fmt.Sprintf("%q is not a tool rule", s), hint: `write "Tool" or "Tool(pattern)" ("Bash(git push:*)")`}
}

// longestHook leaves the hook in the box time to pass the answer on.
const longestHook = Duration(15 * time.Second)

func (c *checker) hooks() {
	if len(c.p.Hooks) > 0 && c.p.Agent.Kind != "claude" {
		c.warn("hook", "is never asked: agent.kind names no agent that asks a hook", `extend the preset "claude"`)
	}
	for i, h := range c.p.Hooks {
		at := index("hook", i)
		c.nameOK(at+".name", h.Name)
		if len(h.Command) == 0 || !fullPath(h.Command[0]) || cleanPath(h.Command[0]) != h.Command[0] {
			c.add(at+".command", "names no program by its full path", `write command = ["~/bin/check-tool-call"]`)
		}
		if h.Timeout < 0 || h.Timeout > longestHook {
			c.add(at+".timeout", fmt.Sprintf("%v is not between nothing and %v", h.Timeout, longestHook), `write "5s"`)
		}
	}
}

// smallestLog is the least size at which a log goes on in another file: it holds the record of a start.
const smallestLog = Size(64 << 10)

func (c *checker) audit() {
	a := c.p.Audit
	if w := fileProblem(a.Dir); w != nil {
		c.finding("audit.dir", *w)
	}
	c.archive()
	if day := Duration(24 * time.Hour); a.Retain < day && a.Retain != 0 {
		c.add("audit.retain", fmt.Sprintf("%v is less than a day", a.Retain), `write "90d", or 0 to keep logs for ever`)
	}
	if a.Rotate < smallestLog && a.Rotate != 0 {
		c.add("audit.rotate", fmt.Sprintf("%v is less than %v", a.Rotate, smallestLog), `write "64MiB", or 0 for one file`)
	}
}

func (c *checker) alerts() {
	for i, a := range c.p.Alerts {
		at := index("alert", i)
		c.nameOK(at+".name", a.Name)
		if !eventName().MatchString(a.Event) {
			c.add(at+".event", fmt.Sprintf("%q is not the name of an event", a.Event), `write "exec"`)
		}
		if a.Rate != "" && !rate().MatchString(a.Rate) {
			c.add(at+".rate", fmt.Sprintf("%q is not a rate", a.Rate), `write a number and "/s", "/min" or "/h" ("60/min")`)
		}
		if len(a.Action) == 0 {
			c.add(at+".action", "is missing", `write ["log"]`)
		}
	}
}

func (c *checker) servers() {
	for i, s := range c.p.MCP {
		at := index("mcp", i)
		c.nameOK(at+".name", s.Name)
		switch {
		case len(s.Command) == 0 || s.Command[0] == "":
			c.add(at+".command", "is missing", "an MCP server is a program")
		case !fullPath(s.Command[0]) && strings.Contains(s.Command[0], "/"):
			c.add(at+".command[0]", fmt.Sprintf("%q could be in the workspace", s.Command[0]), "write a full path, or a name to be found on PATH")
		}
		for _, name := range slices.Sorted(maps.Keys(s.Env)) {
			v := s.Env[name]
			switch {
			case !envName(name) || loaderVariable(name):
				c.add(join(at+".env", name), "is not a variable a server may be given", "")
			case referenceProblem(v) != nil && SecretValue(v):
				c.add(join(at+".env", name), "looks like a secret", `write "env:NAME", "file:/full/path" or "command:program args"; a profile holds no secrets`)
			}
		}
		if len(s.Tools) == 0 {
			c.add(at+".tools", "is missing", "name the tools the agent may call")
		}
		c.each(at+".tools", s.Tools, func(t string) *complaint {
			if !toolName().MatchString(t) {
				return &complaint{msg: fmt.Sprintf("%q is not the name of a tool", t)}
			}
			return nil
		})
	}
}
