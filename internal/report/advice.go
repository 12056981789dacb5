package report

import (
	"fmt"
	"slices"
	"strings"

	humanize "github.com/dustin/go-humanize"

	"agentbox/internal/audit"
	"agentbox/internal/escape"
)

// Notice is what whoever reads a report must know of the log before all else; "" of one that is whole.
func (r *Report) Notice() string {
	if r.Unread != "" && r.Verification.Verdict != audit.Broken {
		return fmt.Sprintf("The log could not be read to its end: %s. What follows there is not told here.", r.Unread)
	}
	last := "nothing is on record"
	if !r.Last.IsZero() {
		last = "the last record is of " + r.Last.UTC().Format("2006-01-02 15:04:05 UTC")
	}
	switch {
	case r.Verification.Verdict == audit.Broken:
		return fmt.Sprintf("Somebody changed the log: %s. Only what stands before it is told here.", escape.Text(r.Verification.String()))
	case r.Verification.Verdict == audit.Unsealed && r.Lasts() && len(r.Verification.Gaps) == 0:
		return fmt.Sprintf("The session is not over, %s: this is what it has done so far; %s.", r.lasting(), last)
	case r.Verification.Verdict == audit.Unsealed && r.Running():
		return fmt.Sprintf("This is no whole session: the log has no end and no seal. It still runs, its supervisor was killed, or somebody cut the log; %s.", last)
	case r.Verification.Verdict == audit.Unsealed:
		return fmt.Sprintf("The log has no seal: its writer was killed, still writes, or somebody cut the log; %s.", last)
	case r.Running():
		return fmt.Sprintf("The end of the session is not on record; %s.", last)
	}
	return ""
}

// Headline is the verdict on the session in a few words, and how grave it is: serious, note or quiet.
func (r *Report) Headline() (words, level string) {
	serious := 0
	for _, f := range r.Findings {
		if f.Serious {
			serious++
		}
	}
	switch notes := len(r.Findings) - serious; {
	case serious > 0:
		words, level = counted(serious, "serious finding", "serious findings"), "serious"
		if notes > 0 {
			words += " and " + counted(notes, "note", "notes")
		}
	case notes > 0:
		words, level = counted(notes, "thing", "things")+" to look at, none of them serious", "note"
	default:
		words, level = "nothing out of the ordinary is on record", "quiet"
	}
	return words, level
}

// Advice is what to do now, the most urgent first. Every step is one that a person can take.
func (r *Report) Advice() (list []string) {
	say := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	if r.Verification.Verdict == audit.Broken {
		say("Trust nothing behind the changed record. Compare with a copy of the log from another place, and find out who may write its directory.")
	}
	for _, c := range r.Credentials {
		if c.Tripwires > 0 {
			say("Rotate %s%s: its placeholder was on its way to where it does not belong, so something looked for the secret.", c.Name, at(c.Rotate))
		}
	}
	list = append(list, r.adviceOnFiles()...)
	switch {
	case r.Lasts():
		say("Decide what becomes of it: \"agentbox freeze\" stops it, \"agentbox resume\" lets it go on, \"agentbox kill\" ends it.")
	case r.Verification.Verdict == audit.Unsealed:
		say("Make this report again when the session is over. If it is over, compare the last hash with one that was noted elsewhere.")
	}
	if len(r.Refusals) > 0 {
		say("Read the refusals: each is something that was wanted. What was meant well needs a line of the profile (\"agentbox why HOST\"); the rest is a reason to ask.")
	}
	if len(r.Degraded) > 0 {
		say("Run \"agentbox doctor\": the box was without %s.", remarks(r.Degraded))
	}
	if r.Verification.Verdict == audit.Sealed && !r.Verification.Signed {
		say("To be able to show later that nobody replaced the log, note its last hash elsewhere, or set audit.key.")
	}
	return list
}

func at(places []Place) string {
	var list []string
	for _, p := range places {
		list = append(list, p.URL)
	}
	if list == nil {
		return ""
	}
	return " at " + strings.Join(list, " and ")
}

func (r *Report) adviceOnFiles() (list []string) {
	f, handoffs, waiting := r.Files, 0, 0
	for _, one := range f.List {
		if slices.ContainsFunc(one.Remarks, func(t Text) bool { return strings.HasPrefix(string(t), handoff) }) {
			handoffs++
		}
		if !one.Applied {
			waiting++
		}
	}
	if handoffs > 0 {
		list = append(list, fmt.Sprintf("Read %s before anything outside the box runs or obeys %s: see the remarks below Files.",
			counted(handoffs, "changed file", "changed files"), map[bool]string{true: "it", false: "them"}[handoffs == 1]))
	}
	if f.Known && waiting > 0 && !f.Discarded {
		list = append(list, fmt.Sprintf("Decide about %s: \"agentbox diff %s\" shows them, \"agentbox apply\" and \"agentbox discard\" end the matter.",
			counted(waiting, "change that is not in the project", "changes that are not in the project"), r.Session))
	}
	return list
}

// Figures are the numbers that a busy person wants.
func (r *Report) Figures() []Fact {
	refused := 0
	for _, one := range r.Refusals {
		refused += one.Count
	}
	programs, files := "not recorded", "not recorded"
	if r.Programs.Recorded {
		programs = humanize.Comma(int64(r.Programs.Starts))
	}
	if r.Files.Known || r.Mode == "overlay" {
		files = humanize.Comma(int64(r.Files.Changes))
	}
	list := []Fact{{"programs", programs}, {"tool calls", humanize.Comma(int64(len(r.Tools) + r.Omitted.Tools))}, {"hosts", humanize.Comma(int64(len(r.Hosts)))},
		{"sent out", size(r.BytesOut)}, {"refused", humanize.Comma(int64(refused))}, {"files changed", files}, {"applied", humanize.Comma(int64(r.Files.Applied))}}
	if r.TotalUSD > 0 {
		list = append(list, Fact{"models", fmt.Sprintf("$%.2f", r.TotalUSD)})
	}
	return list
}

func size(n int64) string { return humanize.IBytes(uint64(max(0, n))) }
