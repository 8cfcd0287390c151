"""YAML with places: every value's line, by its path in the document; duplicate keys are reported."""

from __future__ import annotations

from typing import Any, Final

import yaml

from tailrace_shared.errors import UsageError

Key = str | int
_REMEDY: Final = "Correct the file there, or just above; docs/job-example.yaml shows a whole job."
DEPTH_MAX: Final = 50
NODES_MAX: Final = 200_000
"""Aliases can make a small file expand without end; no job has so many values."""


class Places:
    """Line numbers, from 1, by path."""

    def __init__(self) -> None:
        self._lines: dict[tuple[Key, ...], int] = {(): 1}

    def add(self, path: tuple[Key, ...], line: int) -> None:
        self._lines.setdefault(path, line)

    def line(self, path: tuple[Key, ...]) -> int:
        """The line of the path, or of the nearest thing above it."""
        while path not in self._lines:
            path = path[:-1]
        return self._lines[path]


_RESOLVERS: Final = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag != "tag:yaml.org,2002:timestamp" and (tag != "tag:yaml.org,2002:null" or first in ("", "~"))
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
"""Plain values only. Dates stay text: a job's constants are written as PostgreSQL reads them. ``null`` stays a word: it names a
generator and a policy; nothing at all and ``~`` are no value."""


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers = _RESOLVERS


def _with_libyaml() -> Any:
    """The loader over libyaml, ten times as fast; None where PyYAML was built without it."""
    base = getattr(yaml, "CSafeLoader", None)
    return None if base is None else type("_QuickLoader", (base,), {"yaml_implicit_resolvers": _RESOLVERS})


_QUICK: Final = _with_libyaml()


def read_quickly(text: str) -> Any:
    """The document, where nothing is wrong with it; None where ``read_yaml`` has to look, which says what is wrong and where.

    Of 500 tables it takes a fraction of a second, where ``read_yaml`` takes two.
    """
    if _QUICK is None or not _is_shallow(text):
        return None
    loader = None
    try:
        loader = _QUICK(text)
        node = loader.get_single_node()
        walk = _Walk(loader)
        document = None if node is None else walk.value(node, ())
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    finally:
        if loader is not None:
            loader.dispose()
    return None if walk.duplicates else document


def _is_shallow(text: str) -> bool:
    """libyaml's composer calls itself for each level, beyond any limit of Python's: what is too deep must not come to it."""
    depth = 0
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > DEPTH_MAX:
                return False
    except (yaml.YAMLError, ValueError):
        return False
    return True


def read_yaml(text: str, name: str) -> tuple[Any, Places, list[tuple[int, str]]]:
    """The document, the lines of its values, and duplicate keys as (line, path). Raises UsageError for no valid YAML."""
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        walk = _Walk(loader)
        document = None if node is None else walk.value(node, ())
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        problem = error.problem or "the text is not valid YAML"
        raise UsageError("job.yaml", f"{name}:{line}: not valid YAML: {problem}", _REMEDY) from None
    except yaml.YAMLError:
        raise UsageError(
            "job.yaml", f"{name}:1: not valid YAML: it has characters that YAML forbids", _REMEDY
        ) from None
    except (ValueError, RecursionError):
        raise UsageError(
            "job.yaml", f"{name}:1: not valid YAML: a tag does not fit its value, or it is too deep", _REMEDY
        ) from None
    finally:
        if loader is not None:
            loader.dispose()
    return document, walk.places, walk.duplicates


class _Walk:
    """Builds values from the node graph, noting where each stands."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader
        self.places = Places()
        self.duplicates: list[tuple[int, str]] = []
        self.count = 0

    def value(self, node: yaml.Node, path: tuple[Key, ...]) -> Any:
        self.count += 1
        if self.count > NODES_MAX or len(path) > DEPTH_MAX:
            raise yaml.constructor.ConstructorError(problem="aliases expand without end", problem_mark=node.start_mark)
        self.places.add(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, place)) for place, item in enumerate(node.value)]
        return self.loader.construct_object(node)

    def _mapping(self, node: yaml.MappingNode, path: tuple[Key, ...]) -> dict[str, Any]:
        self._find_duplicates(node, path)
        self.loader.flatten_mapping(node)
        found: dict[str, Any] = {}
        for key, item in node.value:  # merged entries come first, the mapping's own win
            name = self._name(key)
            self.places.add((*path, name), key.start_mark.line + 1)
            found[name] = self.value(item, (*path, name))
        return found

    def _find_duplicates(self, node: yaml.MappingNode, path: tuple[Key, ...]) -> None:
        seen = set()
        for key, _ in node.value:
            name = self._name(key)
            if name in seen:
                self.duplicates.append((key.start_mark.line + 1, ".".join(map(str, (*path, name)))))
            seen.add(name)

    def _name(self, key: yaml.Node) -> str:
        """A key as it is written: ``on`` and ``null`` are names here, not values."""
        if not isinstance(key, yaml.ScalarNode):
            raise yaml.constructor.ConstructorError(problem="a key must be a name", problem_mark=key.start_mark)
        return str(key.value)
