package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	humanize "github.com/dustin/go-humanize"
)

// A chart is drawn on 300 by 100 units, which are stretched; what is written stands around it as text.
type chart struct {
	Title, Unit string
	Says        string   // the chart in words
	Up          []string // what stands at the upright axis, from the top down
	Along       []string // what stands at the axis of time
	Line, Area  string   // points of SVG
}

// A point is a value at a time, in seconds.
type point struct{ at, value float64 }

// A measure is how a value is written, and in which steps its axis goes.
type measure struct {
	title, unit string
	text        func(float64) string
	base        float64 // of the steps: 1, 2 and 5 times its powers, or its powers
	whole       bool
}

func (r *Report) charts() (list []chart) {
	over := r.Seconds
	var memory, processor, processes, cost []point
	for i, s := range r.Samples {
		over = max(over, s.Seconds)
		memory = append(memory, point{s.Seconds, float64(s.Memory)})
		processes = append(processes, point{s.Seconds, float64(s.Pids)})
		if i > 0 {
			before := r.Samples[i-1]
			if d := s.Seconds - before.Seconds; d > 0.1 { // of less, the clocks' steps make a rate of any size
				processor = append(processor, point{s.Seconds, max(0, s.CPU-before.CPU) / d})
			}
		}
	}
	for _, c := range r.Costs {
		over = max(over, c.Seconds)
		cost = append(cost, point{c.Seconds, c.USD})
	}
	for _, one := range []struct {
		measure
		points []point
	}{
		{measure{"Processor time", "processors in use", func(v float64) string { return fmt.Sprintf("%.3g", v) }, 10, false}, processor},
		{measure{"Memory", "in use", func(v float64) string { return humanize.IBytes(uint64(v)) }, 2, true}, memory},
		{measure{"Processes", "at a time", func(v float64) string { return humanize.Comma(int64(math.Round(v))) }, 10, true}, processes},
		{measure{"Cost of models", "US dollars in all", func(v float64) string { return "$" + strconv.FormatFloat(math.Round(v*1e4)/1e4, 'f', -1, 64) }, 10, false}, cost},
	} {
		if len(one.points) > 0 {
			list = append(list, one.draw(one.points, over))
		}
	}
	return list
}

func (m measure) draw(points []point, over float64) chart {
	most, least := 0.0, math.Inf(1)
	for _, p := range points {
		most, least = max(most, p.value), min(least, p.value)
	}
	top := m.ceiling(most)
	over = max(over, 1e-3)
	var line strings.Builder
	x := func(p point) float64 { return 300 * min(1, max(0, p.at/over)) }
	for _, p := range points {
		fmt.Fprintf(&line, "%.1f,%.1f ", x(p), 100-100*p.value/top)
	}
	last := points[len(points)-1]
	path := strings.TrimSpace(line.String())
	if len(points) == 1 { // what is one point is drawn to the end
		path = fmt.Sprintf("%s 300,%.1f", path, 100-100*last.value/top)
		last.at = over
	}
	return chart{Title: m.title, Unit: m.unit, Line: path, Area: fmt.Sprintf("%.1f,100 %s %.1f,100", x(points[0]), path, x(last)),
		Says: fmt.Sprintf("%s over %s: at most %s, at least %s, %s at last", m.title, duration(over), m.text(most), m.text(least), m.text(points[len(points)-1].value)),
		Up:   []string{m.text(top), m.text(top / 2), "0"}, Along: []string{"start", duration(over / 2), duration(over)}}
}

// ceiling is the round value above the most.
func (m measure) ceiling(most float64) float64 {
	if most <= 0 {
		return 2
	}
	if m.base == 2 {
		return max(2, math.Pow(2, math.Ceil(math.Log2(most))))
	}
	power := math.Pow(10, math.Floor(math.Log10(most)))
	for _, step := range []float64{1, 2, 4, 6, 8, 10} {
		if top := step * power; top >= most && (!m.whole || top >= 2) {
			return top
		}
	}
	return 10 * power
}
