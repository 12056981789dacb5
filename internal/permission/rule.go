package permission

import (
	"slices"
	"strings"
	"unicode"
)

// A Rule is a tool, "*" for every one, and the specifier between its parentheses, "" for none.
type Rule struct{ Tool, Spec string }

// String is the rule as the profile writes it.
func (r Rule) String() string {
	if r.Spec == "" {
		return r.Tool
	}
	return r.Tool + "(" + r.Spec + ")"
}

// maxRule bounds a Rule; a longer one is not one a person wrote.
const maxRule = 4096

// split takes a Rule apart, or says what is wrong with its form.
func split(text string) (r Rule, problem string) {
	if len(text) > maxRule {
		return Rule{}, "is too long for a Rule"
	}
	if strings.ContainsFunc(text, func(c rune) bool { return c == unicode.ReplacementChar || !unicode.IsPrint(c) }) {
		return Rule{}, "has a character in it that is not printed"
	}
	tool, rest, has := strings.Cut(text, "(")
	if tool != "*" && !toolName(tool) {
		return Rule{}, "does not begin with the name of a tool"
	}
	if !has {
		return Rule{Tool: tool}, ""
	}
	spec, closed := strings.CutSuffix(rest, ")")
	switch {
	case !closed || !balanced(spec):
		return Rule{}, "has a parenthesis without its other half"
	case strings.TrimSpace(spec) == "":
		return Rule{}, "names nothing between its parentheses"
	}
	return Rule{tool, spec}, ""
}

// ParseRule takes a rule apart that [Compile] accepts; ok is false for any other.
func ParseRule(text string) (r Rule, ok bool) {
	r, problem := split(text)
	return r, problem == "" && r.problem() == ""
}

// toolName knows names and, of MCP tools, patterns.
func toolName(s string) bool {
	for i, c := range s {
		letter := c == '_' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
		if !letter && (i == 0 || c != '-' && c != '*' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != ""
}

// balanced reports whether every parenthesis has its other half: the client leaves out a Rule without, and says nothing.
func balanced(s string) bool {
	open := 0
	for i := range len(s) {
		switch s[i] {
		case '(':
			open++
		case ')':
			if open--; open < 0 {
				return false
			}
		}
	}
	return open == 0
}

// knownTools are the client's own tools that rules are written for. Others exist: MCP servers and new versions bring
// them.
var knownTools = []string{
	"Agent", "Bash", "BashOutput", "Edit", "ExitPlanMode", "Glob", "Grep", "KillShell", "LS", "MultiEdit",
	"NotebookEdit", "NotebookRead", "Read", "Skill", "SlashCommand", "Task", "TodoWrite", "WebFetch", "WebSearch", "Write",
}

// KnownTools are the client's own tools, in their spelling.
func KnownTools() []string { return slices.Clone(knownTools) }

// problem says why no layer would act on a well-formed rule as it is meant.
func (r Rule) problem() string {
	if known := slices.IndexFunc(knownTools, func(k string) bool { return strings.EqualFold(k, r.Tool) }); known >= 0 && knownTools[known] != r.Tool {
		return "names no tool: it is spelt " + knownTools[known]
	}
	switch {
	case r.Tool == "*" && r.Spec != "":
		return "names what every tool would understand otherwise"
	case strings.HasPrefix(r.Tool, "mcp__") && r.Spec != "":
		return "names arguments of an MCP tool, which no client looks at"
	case strings.Contains(r.Tool, "*") && r.Spec != "":
		return "names arguments of tools that it does not name"
	}
	return ""
}

// All reports a Rule about everything: of a denial it means nothing else.
func (r Rule) All() bool {
	return r.Tool == "*" || slices.Contains([]string{"*", "**", ":*", "domain:*", "/**", "./**"}, r.Spec)
}

// Edits reports a tool that writes files. Rules for one of them are about all.
func Edits(tool string) bool {
	return slices.Contains([]string{"Edit", "Write", "MultiEdit", "NotebookEdit"}, tool)
}
