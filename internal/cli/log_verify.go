package cli

import (
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"os"
	"strings"

	cli "github.com/urfave/cli/v2"

	"agentbox/internal/audit"
)

func newLogVerify(c *caller) *cli.Command {
	return &cli.Command{
		Name: "verify", Usage: "check that nobody changed the record of a session", UsageText: "agentbox log verify [options] [ID or FILE]",
		Description: "All files of the session are read, the compressed ones among them, whichever of them FILE is.\nSays \"sealed\", \"unsealed after record N\" (a crash, or a cut) or \"broken at line N\", and ends with 0 only for the first. Without\n" +
			"--key or --last-hash, a log that somebody replaced as a whole does not show.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "key", Usage: "the seal must be signed by the public key in `FILE` (openssl pkey -pubout)"},
			&cli.StringFlag{Name: "last-hash", Usage: "the last hash must be `HASH`, noted elsewhere"},
			jsonFlag(),
			logDirFlag(),
		},
		Action: func(ctx *cli.Context) error {
			if err := wantArgs(ctx, 1); err != nil {
				return err
			}
			return verifyLog(ctx, c)
		},
	}
}

func verifyLog(ctx *cli.Context, c *caller) error {
	var want audit.Expected
	key, err1 := value(ctx, "key")
	last, err2 := value(ctx, "last-hash")
	dir, err3 := value(ctx, "log-dir")
	for _, err := range []error{err1, err2, err3} {
		if err != nil {
			return err
		}
	}
	if key != "" {
		data, err := os.ReadFile(key)
		if err != nil {
			return err
		}
		if want.Key, err = pemBytes(data, "PUBLIC KEY", publicPrefix, ed25519.PublicKeySize); err != nil {
			return &usageError{msg: fmt.Sprintf("--key %s: %s", key, err), hint: `"openssl pkey -in KEY -pubout" prints one`}
		}
	}
	if sum, err := hex.DecodeString(last); err != nil || last != "" && len(sum) != 32 {
		return &usageError{msg: fmt.Sprintf("--last-hash %s is not a SHA-256 in hex", last)}
	}
	want.Last = strings.ToLower(last)
	path := ctx.Args().First()
	if !strings.Contains(path, "/") {
		var err error
		if path, err = findLog(dir, path); err != nil {
			return err
		}
	}
	report, err := audit.VerifyAll(path, want)
	if err != nil {
		return err
	}
	return c.verdict(path, report, ctx.Bool("json"))
}

func (c *caller) verdict(path string, r audit.Report, asJSON bool) error {
	if asJSON {
		if err := c.voice.json(r); err != nil {
			return err
		}
	} else {
		c.voice.printf("%s: %s\n", path, verdictText(r))
	}
	if r.Verdict != audit.Sealed {
		return exitStatus(exitFailure)
	}
	return nil
}

func verdictText(r audit.Report) string {
	switch r.Verdict {
	case audit.Broken:
		if r.File != "" {
			return fmt.Sprintf("broken at line %d (byte %d of all files, in %s): %s", r.Line, r.Offset, r.File, r.Why)
		}
		return fmt.Sprintf("broken at line %d (byte %d): %s", r.Line, r.Offset, r.Why)
	case audit.Sealed:
	default:
		if r.Records == 0 {
			return "unsealed: " + r.Why
		}
		return fmt.Sprintf("unsealed %s: %s", r.End(), r.Why)
	}
	text := fmt.Sprintf("sealed, %d records", r.Records)
	if r.Parts > 1 {
		text += fmt.Sprintf(" in %d parts", r.Parts)
	}
	if r.Files > 1 {
		text += fmt.Sprintf(" in %d files", r.Files)
	}
	switch {
	case r.Signed:
		text += ", signed by " + r.Key
	case r.Vouched > 0:
		text += fmt.Sprintf(", the first %d of them signed by %s, the others not signed", r.Vouched, r.Key)
	default:
		text += ", not signed"
	}
	return text + ", last hash " + r.Last
}
