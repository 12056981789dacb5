package mounts

import (
	"os"
	"testing"

	"agentbox/internal/boxtest"
)

func TestMain(m *testing.M) { os.Exit(boxtest.Main(m)) }
