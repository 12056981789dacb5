package cli

import (
	"context"
	"runtime"
	"runtime/debug"
	"strconv"

	cli "github.com/urfave/cli/v2"

	"agentbox/launch"
)

// version is set by the linker: -X agentbox/internal/cli.version=v1.2.3
var version string

// versions is the answer of `version`.
type versions struct {
	Version      string `json:"version"`
	Commit       string `json:"commit,omitempty"`
	Go           string `json:"go"`
	Platform     string `json:"platform"`
	Libcontainer string `json:"libcontainer"`
	LandlockABI  int    `json:"landlock_abi"` // of this kernel; 0: it has none
}

func newVersion(c *caller) *cli.Command {
	return &cli.Command{
		Name: "version", Usage: "print the version of agentbox and of what it is made of", UsageText: "agentbox version [--json]",
		Flags: []cli.Flag{jsonFlag()},
		Action: func(ctx *cli.Context) error {
			if err := wantArgs(ctx, 0); err != nil {
				return err
			}
			return printVersion(ctx.Context, ctx.Bool("json"), c)
		},
	}
}

func printVersion(_ context.Context, asJSON bool, c *caller) error {
	abi := 0
	if host, err := launch.Probe(); err == nil {
		abi = host.LandlockABI
	}
	v := currentVersions(abi)
	if asJSON {
		return c.voice.json(struct {
			Format int `json:"format"`
			versions
		}{1, v})
	}
	c.voice.printf("agentbox %s\n", v.Version)
	rows := [][]string{{"go", v.Go + " " + v.Platform}, {"libcontainer", v.Libcontainer}, {"landlock ABI", strconv.Itoa(v.LandlockABI)}}
	if v.Commit != "" {
		rows = append(rows, []string{"commit", v.Commit})
	}
	c.voice.table(false, rows)
	return nil
}

// currentVersions are those of this program.
func currentVersions(landlock int) versions {
	v := versions{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Libcontainer: "unknown", LandlockABI: landlock}
	if info, ok := debug.ReadBuildInfo(); ok {
		v.fill(info)
	}
	if v.Version == "" || v.Version == "(devel)" {
		v.Version = "dev"
	}
	return v
}

// modules are what this program is made of.
func modules() []string {
	list := []string{}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			list = append(list, dep.Path+" "+dep.Version)
		}
	}
	return list
}

func (v *versions) fill(info *debug.BuildInfo) {
	if v.Version == "" {
		v.Version = info.Main.Version
	}
	for _, dep := range info.Deps {
		if dep.Path == "github.com/opencontainers/runc" {
			v.Libcontainer = dep.Version
		}
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v.Commit = s.Value
		}
	}
}
