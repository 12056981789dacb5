package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	cli "github.com/urfave/cli/v2"

	"agentbox/internal/audit"
	"agentbox/internal/egress/meter"
	"agentbox/profile"
)

func newCost(c *caller) *cli.Command {
	return &cli.Command{
		Name: "cost", Usage: "show what a session has used of models, and what that costs", UsageText: "agentbox cost [options] [ID]",
		Description: "Adds up what the responses of model APIs said, from the session's log: of requests that agentbox reads, which are those to hosts of a [[credential]] and, with a budget, of budget.hosts.\n" +
			"ID may be a unique beginning; without it, the latest session of this project is meant.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "prices", Usage: "show the table of prices instead, and the profile's own"}, logDirFlag(), jsonFlag()},
		Action: func(ctx *cli.Context) error {
			if err := wantArgs(ctx, 1); err != nil {
				return err
			}
			if ctx.Bool("prices") {
				return showPrices(ctx.Bool("json"), c)
			}
			dir, err := value(ctx, "log-dir")
			if err != nil {
				return err
			}
			return cost(ctx.Context, dir, ctx.Args().First(), ctx.Bool("json"), c)
		},
	}
}

// A modelCost is what was used of one model.
type modelCost struct {
	Model      string  `json:"model,omitempty"`
	Requests   int     `json:"requests"`
	Input      int64   `json:"input_tokens"`
	CacheRead  int64   `json:"cache_read_tokens"`
	CacheWrite int64   `json:"cache_write_tokens"`
	Output     int64   `json:"output_tokens"`
	CostUSD    float64 `json:"cost_usd"`
	Estimated  int     `json:"estimated_requests"` // whose responses did not say what was used, or not all of it
	Unpriced   bool    `json:"unpriced"`           // counted as the dearest of the table

	cost meter.NanoUSD
}

func (m *modelCost) add(r *audit.NetworkRequest) {
	m.Requests++
	m.Input += r.Input
	m.CacheRead += r.CacheRead
	m.CacheWrite += r.CacheWrite
	m.Output += r.Output
	m.cost += meter.FromUSD(r.CostUSD)
	m.CostUSD = m.cost.USD()
	m.Unpriced = m.Unpriced || r.Unpriced
	if r.Estimated {
		m.Estimated++
	}
}

func (m *modelCost) tokens() int64 { return m.Input + m.CacheRead + m.CacheWrite + m.Output }

// A costReport is what `cost --json` prints.
type costReport struct {
	Version int          `json:"version"`
	Session string       `json:"session"`
	Models  []*modelCost `json:"models"` // the dearest first
	Total   modelCost    `json:"total"`
	Budget  *costBudget  `json:"budget,omitempty"` // of a session that has one
}

type costBudget struct {
	USD     float64 `json:"usd,omitempty"`
	Tokens  int64   `json:"tokens,omitempty"`
	Reached bool    `json:"reached"`
}

func cost(ctx context.Context, dir, id string, asJSON bool, c *caller) error {
	path, err := findLog(dir, id)
	if err != nil {
		return err
	}
	records, end, err := logOptions{}.records(ctx, path)
	if err != nil {
		return err
	}
	defer end()
	r := costReport{Version: 1, Models: []*modelCost{}}
	for record, err := range records {
		if err != nil {
			return &plainError{err: fmt.Errorf("%s: %w", path, err), hint: fmt.Sprintf(`"agentbox log verify %s" says where it was changed`, path)}
		}
		r.add(record)
	}
	slices.SortStableFunc(r.Models, func(a, b *modelCost) int { return cmp.Or(cmp.Compare(b.cost, a.cost), cmp.Compare(a.Model, b.Model)) })
	if asJSON {
		return c.voice.json(r)
	}
	c.showCost(r)
	return nil
}

// add adds one record of the log.
func (r *costReport) add(record audit.Record) {
	r.Session = string(record.Session)
	e, err := record.Event()
	if err != nil {
		return
	}
	switch e := e.(type) {
	case *audit.Start:
		var p profile.Profile
		if json.Unmarshal(e.Policy, &p) == nil && p.Budget.Limited() {
			r.Budget = &costBudget{USD: p.Budget.USD, Tokens: p.Budget.Tokens}
		}
	case *audit.BudgetReached:
		if r.Budget != nil {
			r.Budget.Reached = true
		}
	case *audit.NetworkRequest:
		if e.Model == "" && e.CostUSD == 0 && !e.Estimated {
			return
		}
		i := slices.IndexFunc(r.Models, func(m *modelCost) bool { return m.Model == string(e.Model) })
		if i < 0 {
			i = len(r.Models)
			r.Models = append(r.Models, &modelCost{Model: string(e.Model)})
		}
		r.Models[i].add(e)
		r.Total.add(e)
	}
}

func (c *caller) showCost(r costReport) {
	if len(r.Models) == 0 {
		c.voice.printf("session %s has used no model that agentbox knows of\n", r.Session)
		return
	}
	rows := [][]string{{"MODEL", "REQUESTS", "INPUT", "CACHE READ", "CACHE WRITE", "OUTPUT", "COST", ""}}
	row := func(name string, m modelCost, note string) {
		n := func(v int64) string { return strconv.FormatInt(v, 10) }
		rows = append(rows, []string{name, strconv.Itoa(m.Requests), n(m.Input), n(m.CacheRead), n(m.CacheWrite), n(m.Output), m.cost.String(), note})
	}
	for _, m := range r.Models {
		note := ""
		if m.Unpriced {
			note = "price not known: as the dearest"
		} else if m.Estimated > 0 {
			note = counted(m.Estimated, "request", "requests") + " estimated"
		}
		row(cmp.Or(m.Model, "(not said)"), *m, note)
	}
	if len(r.Models) > 1 {
		row("total", r.Total, "")
	}
	c.voice.table(true, rows)
	if b := r.Budget; b != nil {
		var parts []string
		if b.USD > 0 {
			parts = append(parts, fmt.Sprintf("%s of %s", r.Total.cost, dollars(b.USD)))
		}
		if b.Tokens > 0 {
			parts = append(parts, fmt.Sprintf("%d of %d tokens", r.Total.tokens(), b.Tokens))
		}
		for i, p := range parts {
			if b.Reached && i == 0 {
				p += ", reached"
			}
			c.voice.printf("budget  %s\n", p)
		}
	}
}

// A priceList is what `cost --prices --json` prints.
type priceList struct {
	Version int        `json:"version"`
	Date    string     `json:"date"` // of agentbox's own table
	Prices  []onePrice `json:"prices"`
}

// A onePrice is in US dollars for a million tokens.
type onePrice struct {
	Model      string  `json:"model"`
	Input      float64 `json:"input"`
	Output     float64 `json:"output"`
	CacheRead  float64 `json:"cache_read"`
	CacheWrite float64 `json:"cache_write"`
	LongFrom   int64   `json:"long_from,omitempty"` // tokens of a prompt from which on the next two hold
	LongInput  float64 `json:"long_input,omitempty"`
	LongOutput float64 `json:"long_output,omitempty"`
}

func showPrices(asJSON bool, c *caller) error {
	p, err := decide(planOptions{})
	if err != nil {
		return quiet(err)
	}
	list := priceList{Version: 1, Date: meter.PricesOf, Prices: []onePrice{}}
	for _, r := range prices(p.effective.Profile).List() {
		list.Prices = append(list.Prices, onePrice{Model: r.Model, Input: r.Input, Output: r.Output, CacheRead: r.CacheRead, CacheWrite: r.CacheWrite,
			LongFrom: r.LongFrom, LongInput: r.LongInput, LongOutput: r.LongOutput})
	}
	if asJSON {
		return c.voice.json(list)
	}
	rows := [][]string{{"MODEL", "INPUT", "OUTPUT", "CACHE READ", "CACHE WRITE"}}
	usd := func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
	for _, p := range list.Prices {
		rows = append(rows, []string{p.Model, usd(p.Input), usd(p.Output), usd(p.CacheRead), usd(p.CacheWrite)})
	}
	c.voice.table(true, rows)
	c.voice.printf("US dollars for a million tokens, as listed on %s. A model that is not here costs what the dearest does; [[price]] in a profile says better.\n", list.Date)
	return nil
}
