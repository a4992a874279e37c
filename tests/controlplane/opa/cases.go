package main

import (
	"encoding/json"
	"path/filepath"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/test/cases"
)

// conformance is a case of OPA's suite; what it wants is nil where it wants nothing of the kind.
type conformance struct {
	File         string           `json:"file"`
	Note         string           `json:"note"`
	Query        string           `json:"query"`
	Modules      []string         `json:"modules"`
	Data         any              `json:"data"`
	DataValue    any              `json:"data_value"`
	Input        any              `json:"input"`
	InputTerm    string           `json:"input_term"`
	InputValue   any              `json:"input_value"`
	WantResult   []map[string]any `json:"want_result"`
	WantsResult  bool             `json:"wants_result"`
	Strict       bool             `json:"strict"`
	Experimental bool             `json:"experimental"`
}

func list(folder string, encoder *json.Encoder) error {
	set, err := cases.Load(folder)
	if err != nil {
		return err
	}
	for _, one := range set.Cases {
		file, err := filepath.Rel(folder, one.Filename)
		if err != nil {
			return err
		}
		if err := encoder.Encode(caseOf(file, &one)); err != nil {
			return err
		}
	}
	return nil
}

func caseOf(file string, one *cases.TestCase) conformance {
	told := conformance{
		File: file, Note: one.Note, Query: one.Query, Modules: one.Modules,
		Strict: one.StrictError, Experimental: one.ExperimentalKeywords,
		WantsResult: one.WantResult != nil,
	}
	if one.Data != nil {
		told.Data = *one.Data
		told.DataValue = shown(ast.MustInterfaceToValue(*one.Data))
	}
	if one.Input != nil {
		told.Input = *one.Input
		told.InputValue = shown(ast.MustInterfaceToValue(*one.Input))
	}
	if one.InputTerm != nil {
		told.InputTerm = *one.InputTerm
		told.InputValue = shown(ast.MustParseTerm(*one.InputTerm).Value)
	}
	if one.WantResult != nil {
		for _, bindings := range *one.WantResult {
			row := map[string]any{}
			for name, value := range bindings {
				row[name] = shown(ast.MustInterfaceToValue(value))
			}
			told.WantResult = append(told.WantResult, row)
		}
	}
	return told
}
