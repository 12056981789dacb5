package report

import (
	"crypto/sha256"
	_ "embed" // the page and its style
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"

	humanize "github.com/dustin/go-humanize"
)

var (
	//go:embed page.html
	pageText string
	//go:embed page.css
	style string

	page = template.Must(template.New("page").Funcs(template.FuncMap{
		"clock":  func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") },
		"bytes":  func(n int64) string { return humanize.IBytes(uint64(max(0, n))) },
		"short":  func(t Text) string { return t.String()[:min(16, len(t.String()))] },
		"lasted": duration,
	}).Parse(pageText))
)

// WriteHTML writes one page that needs nothing else, runs nothing and asks nobody: no script, no picture, no font. Its
// policy (Content Security Policy, level 3) allows its own style alone.
func (r *Report) WriteHTML(w io.Writer) error {
	sum := sha256.Sum256([]byte(style))
	return page.Execute(w, struct {
		*Report
		Style     template.CSS // ours, and no part of it is anybody's
		StyleHash string
		Charts    []chart
	}{r, template.CSS(style), base64.StdEncoding.EncodeToString(sum[:]), r.charts()})
}

// A chart is drawn on 320 by 90 units.
type chart struct {
	Title, Most, Over string
	Line, Area        string // points of SVG
}

func (r *Report) charts() (list []chart) {
	over := r.Seconds
	var memory, processor, processes, cost [][2]float64
	for i, s := range r.Samples {
		over = max(over, s.Seconds)
		memory = append(memory, [2]float64{s.Seconds, float64(s.Memory)})
		processes = append(processes, [2]float64{s.Seconds, float64(s.Pids)})
		if i > 0 {
			before := r.Samples[i-1]
			if d := s.Seconds - before.Seconds; d > 0 {
				processor = append(processor, [2]float64{s.Seconds, max(0, s.CPU-before.CPU) / d})
			}
		}
	}
	for _, c := range r.Costs {
		over = max(over, c.Seconds)
		cost = append(cost, [2]float64{c.Seconds, c.USD})
	}
	for _, one := range []struct {
		title  string
		points [][2]float64
		text   func(float64) string
	}{
		{"processors", processor, func(v float64) string { return fmt.Sprintf("%.2f", v) }},
		{"memory", memory, func(v float64) string { return humanize.IBytes(uint64(v)) }},
		{"processes", processes, func(v float64) string { return fmt.Sprintf("%.0f", v) }},
		{"cost", cost, func(v float64) string { return fmt.Sprintf("$%.4f", v) }},
	} {
		if len(one.points) > 0 {
			list = append(list, draw(one.title, one.points, over, one.text))
		}
	}
	return list
}

func draw(title string, points [][2]float64, over float64, text func(float64) string) chart {
	most := 0.0
	for _, p := range points {
		most = max(most, p[1])
	}
	var line strings.Builder
	x := func(p [2]float64) float64 { return 320 * p[0] / max(over, 1e-9) }
	for _, p := range points {
		fmt.Fprintf(&line, "%.1f,%.1f ", x(p), 90-80*p[1]/max(most, 1e-9))
	}
	points1 := strings.TrimSpace(line.String())
	return chart{Title: title, Most: text(most), Over: duration(over), Line: points1,
		Area: fmt.Sprintf("%.1f,90 %s %.1f,90", x(points[0]), points1, x(points[len(points)-1]))}
}
