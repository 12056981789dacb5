package report

import (
	"crypto/sha256"
	_ "embed" // the page and its style
	"encoding/base64"
	"html/template"
	"io"
	"time"

	humanize "github.com/dustin/go-humanize"

	"agentbox/internal/escape"
)

// open is how many rows of a list a page shows before somebody asks for the others.
const open = 25

var (
	//go:embed page.html
	pageText string
	//go:embed page.css
	style string

	page = template.Must(template.New("page").Funcs(template.FuncMap{
		"bytes":   size,
		"comma":   func(n int) string { return humanize.Comma(int64(n)) },
		"counted": counted,
		"short":   func(t Text) string { return escape.Shorten(t.String(), 16) },
		"lasted":  duration,
		"open":    func(rows int) int { return min(open, rows) },
		"iso":     func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	}).Parse(pageText))
)

// A hostRow is one with its part of what the busiest host was sent, in hundredths.
type hostRow struct {
	Host
	Share int
}

// A row is one whose time is written as briefly as can be.
type row[T any] struct {
	Row  T
	Time string
}

// WriteHTML writes one page that needs nothing else, runs nothing and asks nobody: no script, no picture, no font. Its
// policy (Content Security Policy, level 3) allows its own style alone.
func (r *Report) WriteHTML(w io.Writer) error {
	sum := sha256.Sum256([]byte(style))
	words, level := r.Headline()
	hosts := make([]hostRow, len(r.Hosts))
	for i, h := range r.Hosts { // the busiest is the first
		hosts[i] = hostRow{h, int(100 * max(0, h.BytesOut) / max(1, r.Hosts[0].BytesOut))}
	}
	line, begin, close := timed(r, r.Timeline, func(m Moment) time.Time { return m.Time }), 0, 0
	if begin, close = len(line), len(line); len(line) > open { // how it began, and how it ended
		begin, close = open*2/3, len(line)-open/3
	}
	return page.Execute(w, struct {
		*Report
		Style        template.CSS // ours, and no part of it is anybody's
		StyleHash    string
		Charts       []chart
		Words, Level string
		HostRows     []hostRow
		Calls        []row[Tool]

		Moments, Begin, Between, Close []row[Moment] // the whole time line, and its parts
	}{r, template.CSS(style), base64.StdEncoding.EncodeToString(sum[:]), r.charts(), words, level, hosts,
		timed(r, r.Tools, func(t Tool) time.Time { return t.Time }), line, line[:begin], line[begin:close], line[close:]})
}

// timed writes the times of a list: the day only where it is not that of the start.
func timed[T any](r *Report, list []T, at func(T) time.Time) []row[T] {
	out := make([]row[T], len(list))
	for i, one := range list {
		out[i] = row[T]{one, r.clock(at(one))}
	}
	return out
}

func (r *Report) clock(t time.Time) string {
	const day = "2006-01-02"
	if t.UTC().Format(day) == r.Started.UTC().Format(day) {
		return t.UTC().Format("15:04:05")
	}
	return t.UTC().Format(day + " 15:04:05")
}
