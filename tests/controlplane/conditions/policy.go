package main

import (
	"context"
	"errors"
	"fmt"

	registration "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/predicates/rules"
	"k8s.io/apiserver/pkg/cel/environment"
)

// policy is a ValidatingAdmissionPolicy without variables and parameters: then its validations are evaluated as match
// conditions are, in the same environment, and all have to hold.
type policy struct {
	name        string
	rules       []registration.NamedRuleWithOperations
	conditions  matchconditions.Matcher
	validations matchconditions.Matcher
}

func policyOf(document *unstructured.Unstructured, compiler cel.ConditionCompiler) (policy, error) {
	var read registration.ValidatingAdmissionPolicy
	convert := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation
	if err := convert(document.Object, &read, true); err != nil {
		return policy{}, err
	}
	if read.Spec.ParamKind != nil || len(read.Spec.Variables) > 0 {
		return policy{}, fmt.Errorf("%s has variables or parameters, which are not evaluated here", read.Name)
	}
	validations := make([]registration.MatchCondition, 0, len(read.Spec.Validations))
	for i, validation := range read.Spec.Validations {
		name := fmt.Sprintf("validation-%d", i)
		validations = append(validations, registration.MatchCondition{Name: name, Expression: validation.Expression})
	}
	conditions, err := matcherOf(read.Name, read.Spec.MatchConditions, compiler)
	if err != nil {
		return policy{}, err
	}
	holds, err := matcherOf(read.Name, validations, compiler)
	return policy{read.Name, read.Spec.MatchConstraints.ResourceRules, conditions, holds}, err
}

func matcherOf(name string, conditions []registration.MatchCondition, compiler cel.ConditionCompiler) (matchconditions.Matcher, error) {
	expressions := make([]cel.ExpressionAccessor, 0, len(conditions))
	for _, condition := range conditions {
		condition := matchconditions.MatchCondition(condition)
		expressions = append(expressions, &condition)
	}
	declared := cel.OptionalVariableDeclarations{HasAuthorizer: true}
	compiled := compiler.CompileCondition(expressions, declared, environment.StoredExpressions)
	if broken := compiled.CompilationErrors(); len(broken) > 0 {
		return nil, fmt.Errorf("%s: %w", name, errors.Join(broken...))
	}
	fail := registration.Fail
	return matchconditions.NewMatcher(compiled, &fail, "policy", "validate", name), nil
}

func (p *policy) denies(attributes *admission.VersionedAttributes) (bool, error) {
	matches := false
	for _, rule := range p.rules {
		matcher := rules.Matcher{Rule: rule.RuleWithOperations, Attr: attributes}
		matches = matches || matcher.Matches()
	}
	if !matches {
		return false, nil
	}
	for _, matcher := range []matchconditions.Matcher{p.conditions, p.validations} {
		result := matcher.Match(context.Background(), attributes, nil, nil)
		if result.Error != nil {
			return false, result.Error
		}
		if !result.Matches {
			return matcher == p.validations, nil
		}
	}
	return false, nil
}
