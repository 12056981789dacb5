package profile

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

func (c *checker) agent() {
	if c.p.Schema != 1 {
		c.add("schema", fmt.Sprintf("this version of agentbox reads schema 1, not %d", c.p.Schema), "write schema = 1")
	}
	if len(c.p.Agent.Command) > 0 && c.p.Agent.Command[0] == "" {
		c.add("agent.command[0]", "the program has no name", "")
	}
	if uid, gid, ok := strings.Cut(c.p.Agent.User, ":"); ok && (allZero(uid) || allZero(gid)) {
		c.add("agent.user", fmt.Sprintf("%q is root, and the agent never runs as root", c.p.Agent.User), `write "1000:1000"`)
	} else if _, _, ok := parseUser(c.p.Agent.User); !ok {
		c.add("agent.user", fmt.Sprintf("%q is not UID:GID with two numbers from 1 to 65535", c.p.Agent.User), `write "1000:1000"`)
	}
}

func allZero(s string) bool { return s != "" && strings.Trim(s, "0") == "" }

func (c *checker) environment() {
	c.each("agent.env_pass", c.p.Agent.EnvPass, passProblem)
	for _, name := range slices.Sorted(maps.Keys(c.p.Agent.Env)) {
		at := join("agent.env", name)
		switch {
		case !envName(name):
			c.add(at, "is not a name for a variable", "letters, digits and _, not beginning with a digit")
		case loaderVariable(name):
			c.add(at, fmt.Sprintf("%s changes what every program loads, and is never set", name), "remove it")
		case SecretValue(c.p.Agent.Env[name]):
			c.warn(at, "looks like a secret, and the agent will read it", "give the agent a secret only if it may leave the box with it")
		case strings.HasPrefix(name, "BASH_FUNC_"):
			c.add(at, fmt.Sprintf("%s would define a shell function in every shell", name), "remove it")
		case name == "PATH":
			c.searchPath(at, c.p.Agent.Env[name])
		}
	}
}

// searchPath refuses a PATH that a directory the agent writes could answer.
func (c *checker) searchPath(at, value string) {
	for dir := range strings.SplitSeq(value, ":") {
		switch clean := cleanPath(dir); {
		case !strings.HasPrefix(dir, "/"):
			c.add(at, fmt.Sprintf("%q is not an absolute directory", dir), "write every directory of PATH from /")
		case coversHome(clean):
			c.add(at, fmt.Sprintf("%q is a home or above one, where the agent could put programs", dir), "name the directory of programs in it")
		}
	}
}

func passProblem(name string) *complaint {
	switch {
	case name == "*":
		return &complaint{msg: `"*" would hand in the whole environment`, hint: "name the variables"}
	case !envName(strings.TrimSuffix(name, "*")):
		return &complaint{msg: fmt.Sprintf("%q is not the name of a variable", name), hint: `write a name ("LANG") or its beginning and a star ("LC_*")`}
	}
	if bad, ok := passesHijack(name); ok {
		if bad == name {
			return &complaint{msg: fmt.Sprintf("%s can make programs in the box run something else or leads out of it, and is never handed in", name), hint: "remove it"}
		}
		return &complaint{msg: fmt.Sprintf("%q would hand in %s too, which is never handed in", name, bad), hint: "name the variables"}
	}
	if slices.Contains([]string{"HOME", "PATH", "PWD", "OLDPWD", "TMPDIR"}, name) {
		return &complaint{warning: true, msg: fmt.Sprintf("%s is set by agentbox", name), hint: "remove it"}
	}
	if SecretName(strings.TrimSuffix(name, "*")) {
		return &complaint{warning: true, msg: fmt.Sprintf("%s sounds like a secret, and the agent will read it", name), hint: "give the agent a secret only if it may leave the box with it"}
	}
	return nil
}
