package main

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestEveryModuleHasItsLicence compares with a second list of what is linked: that of the packages' import paths.
func TestEveryModuleHasItsLicence(t *testing.T) {
	modules, err := linked("../../../cmd/prm")
	require.NoError(t, err)
	paths, err := exec.Command("go", "list", "-deps", "../../../cmd/prm").Output()
	require.NoError(t, err)
	var notices, bom strings.Builder
	require.NoError(t, writeNotices(&notices, modules))
	require.NoError(t, writeSBOM(&bom, modules))
	for path := range strings.Lines(string(paths)) {
		path = strings.TrimSpace(path)
		if !strings.Contains(strings.SplitN(path, "/", 2)[0], ".") || strings.HasPrefix(path, "github.com/goprm/goprm") {
			continue
		}
		found := false
		for _, m := range modules {
			found = found || path == m.Path || strings.HasPrefix(path, m.Path+"/")
		}
		require.True(t, found, "no module is listed for %s", path)
	}
	var document struct {
		BOMFormat  string `json:"bomFormat"`
		Components []struct{ Name, Version, PURL string }
	}
	require.NoError(t, json.Unmarshal([]byte(bom.String()), &document))
	require.Equal(t, "CycloneDX", document.BOMFormat)
	require.Len(t, document.Components, len(modules))
	for i, m := range modules {
		require.Equal(t, m.Path, document.Components[i].Name)
		require.NotEmpty(t, m.Version, m.Path)
		require.NotEmpty(t, m.Sum, m.Path)
		require.Contains(t, notices.String(), "\n"+m.Path+" "+m.Version+": ")
	}
	for _, must := range []string{"Permission is hereby granted, free of charge", "Apache License",
		"Redistribution and use in source and binary forms"} {
		require.Contains(t, notices.String(), must)
	}
}
