package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	cli "github.com/urfave/cli/v2"

	"agentbox/internal/session"
	"agentbox/limits"
)

// maxCommand is the width at which a listing cuts a command off.
const maxCommand = 60

// answering is how long a supervisor may take to say what its box uses.
const answering = time.Second

func newPs(c *caller) *cli.Command {
	return &cli.Command{
		Name: "ps", Usage: "list your running sessions", UsageText: "agentbox ps [--all] [--json]",
		Description: "CPUS is the average since the start. With --all, what is kept of sessions that have ended is listed, too: detached ones, and\n" +
			"those with an overlay in which something is left to decide about. OUTPUT is what is kept of a detached session's output. WRITTEN\n" +
			"is what the agent wrote in an overlay, as it lies on disk, and - when there is none, or all was applied or discarded. CHANGES are\n" +
			"those at the end of the run, and - once some were applied. \"agentbox prune\" removes old ones.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "also list sessions that have ended"},
			jsonFlag(),
		},
		Action: func(ctx *cli.Context) error {
			if err := wantArgs(ctx, 0); err != nil {
				return err
			}
			return ps(ctx.Context, ctx.Bool("all"), ctx.Bool("json"), c)
		},
	}
}

// A listed session is a live one, or what is kept of one.
type listed struct {
	session.Info
	Uptime  float64         `json:"uptime_seconds,omitempty"` // of a live one
	Ended   *time.Time      `json:"ended,omitempty"`          // or when a killed one gave its last sign of life
	Output  int64           `json:"output_bytes,omitempty"`   // that are kept
	Written *int64          `json:"written_bytes,omitempty"`  // what the agent wrote in an overlay, until it is applied or discarded
	More    bool            `json:"written_more,omitempty"`   // it is more than that: not all could be counted
	Changes *int            `json:"changes,omitempty"`        // in it, at the end of the run; absent when some were applied since
	Result  json.RawMessage `json:"result,omitempty"`         // as run --result writes it
}

func ps(_ context.Context, all, asJSON bool, c *caller) error {
	root, live, _, err := c.liveSessions()
	if err != nil {
		return err
	}
	list := ask(root, live)
	if all {
		if list, err = c.addKept(list); err != nil {
			return err
		}
	}
	switch {
	case asJSON:
		return c.voice.json(struct {
			Version  int      `json:"version"`
			Sessions []listed `json:"sessions"`
		}{1, list})
	case all:
		c.voice.table(true, allRows(list))
	default:
		c.voice.table(true, liveRows(list))
	}
	return nil
}

// ask lets every supervisor say what its box uses now. One that does not answer is listed without.
func ask(root string, live []session.Info) []listed {
	list := make([]listed, len(live))
	var answers sync.WaitGroup
	for i, info := range live {
		list[i] = listed{Info: info, Uptime: time.Since(info.Started).Seconds()}
		answers.Go(func() {
			reply, err := session.Call(root, info.ID, session.Request{Op: session.OpInfo}, answering)
			if err == nil && reply.OK && reply.Info != nil {
				list[i].Info = *reply.Info // newer than what it wrote down
			}
		})
	}
	answers.Wait()
	return list
}

func liveRows(list []listed) [][]string {
	rows := [][]string{{"ID", "PID", "UPTIME", "STATE", "MEMORY", "CPUS", "PIDS", "PROFILE", "WORKSPACE", "COMMAND"}}
	for _, s := range list {
		memory, cpus, pids := s.used()
		rows = append(rows, []string{s.ID, strconv.Itoa(s.PID), seconds(time.Since(s.Started)), s.State, memory, cpus, pids,
			s.Profile, s.Workspace, shorten(commandLine(s.Command), maxCommand)})
	}
	return rows
}

// used shows each number beside its limit.
func (s listed) used() (memory, cpus, pids string) {
	u := s.Usage
	if u == nil {
		return "-", "-", "-"
	}
	of := func(used, limit string) string {
		if most := u.Limit(limit); most != "" {
			return used + " / " + most
		}
		return used
	}
	average := u.CPUSeconds / max(s.Uptime, 0.001)
	return of(humanize.IBytes(u.Memory), limits.Memory), of(fmt.Sprintf("%.2f", average), limits.CPUs), of(strconv.FormatUint(u.Pids, 10), limits.Pids)
}

// liveSessions lists this user's sessions, and says which directory a default is chosen by.
func (c *caller) liveSessions() (root string, list []session.Info, dir string, err error) {
	if root, err = session.Root(); err != nil {
		return root, nil, "", err
	}
	if list, err = session.List(root); err != nil {
		c.voice.warnf("%s", err)
	}
	dir, err = os.Getwd()
	return root, list, dir, err
}

// findSession finds a live session of this user by the beginning of its ID, or the latest of this project.
func (c *caller) findSession(prefix string) (root string, info session.Info, err error) {
	root, list, dir, err := c.liveSessions()
	if err != nil {
		return root, info, err
	}
	if info, err = session.Pick(list, prefix, dir); err != nil {
		err = c.notLive(prefix, err)
	}
	return root, info, err
}
