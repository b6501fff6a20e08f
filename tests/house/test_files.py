"""Only bkgflow/io/storage opens, lists, asks, makes, renames or removes files.

Found in the syntax trees: calls of the operating system's functions, and the methods of paths.
What a name holds is told from annotations and assignments; a method that `Location` has as well
counts only where it is certainly a path that is asked. The arithmetic of names
(``Path(x).parent / "y"``, ``os.fspath``) is free. Log handlers are the one exception. Libraries
that must be given a path may be given one in bkgflow/io.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache, cached_property

import pytest

from tests.helpers.sources import Module, modules, report

FREE = {
    "os": {
        "PathLike", "cpu_count", "environ", "fsdecode", "fsencode", "fspath", "getenv", "getpid",
        "getuid", "killpg", "linesep", "name", "pathsep", "process_cpu_count", "sched_getaffinity",
        "sep", "strerror", "sysconf", "urandom", "_exit",
        # What is done to an open file, by its number.
        "SEEK_CUR", "SEEK_END", "SEEK_SET", "copy_file_range", "fstat", "pread", "preadv", "pwrite",
        "pwritev", "sendfile", "write", "posix_fadvise", "POSIX_FADV_DONTNEED",
    },
    "os.path": {"basename", "commonpath", "dirname", "isabs", "join", "normpath", "split",
                "splitext"},
    "shutil": {"get_terminal_size"},
    "gzip": {"BadGzipFile", "GzipFile", "compress", "decompress"},
    "io": {"BytesIO", "StringIO", "TextIOWrapper", "BufferedIOBase", "BufferedReader",
           "BufferedWriter", "RawIOBase", "IOBase", "UnsupportedOperation", "SEEK_CUR", "SEEK_END",
           "SEEK_SET", "DEFAULT_BUFFER_SIZE"},
    **{name: set() for name in ("fcntl", "fileinput", "glob", "mmap", "tarfile", "tempfile",
                                "zipfile")},
}  # fmt: skip
"""What may be taken of the modules that deal with files."""

METHODS = {
    "absolute", "chmod", "cwd", "exists", "expanduser", "glob", "hardlink_to", "home", "is_dir",
    "is_file", "is_symlink", "iterdir", "lchmod", "lstat", "mkdir", "open", "owner", "read_bytes",
    "read_text", "readlink", "rename", "replace", "resolve", "rglob", "rmdir", "samefile", "stat",
    "symlink_to", "touch", "unlink", "walk", "write_bytes", "write_text",
}  # fmt: skip
"""Methods of `pathlib.Path` that ask or change a disk, or the working folder."""

COMMON = {"open", "rename", "replace", "resolve", "stat", "touch", "walk", "owner", "home"}
"""Those of them that other things have too: strings, datasets, modules."""

ARITHMETIC = {"joinpath", "with_name", "with_suffix", "with_stem", "relative_to", "absolute",
              "expanduser", "resolve"}  # fmt: skip

LIBRARIES = {"asdf.open", "datamodels.open", "fits.getdata", "fits.getheader", "fits.open",
             "fits.writeto", "np.fromfile", "np.load", "np.loadtxt", "np.memmap", "np.save",
             "np.savetxt", "np.savez", "h5py.File", "sqlite3.connect", "zarr.open"}  # fmt: skip
"""Calls that take a path, as this house writes them."""

WRITERS = {"savefig", "tofile", "writeto"}
"""Methods of libraries that write to a path; given an open stream they are free."""


@cache
def verbs_of_the_storage() -> frozenset[str]:
    """Methods that the storage's own types offer: anybody may call these."""
    return frozenset(
        each.name
        for module in modules()
        if module.within("io/storage")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef)
        for each in node.body
        if isinstance(each, ast.FunctionDef)
    )


def says_path(annotation: ast.expr | None) -> bool:
    """Whether an annotation is ``Path``, or a union with it."""
    if isinstance(annotation, ast.BinOp):
        return says_path(annotation.left) or says_path(annotation.right)
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return "Path" in annotation.value.replace("|", " ").split()
    return isinstance(annotation, ast.Name) and annotation.id == "Path"


def holds_paths(annotation: ast.expr | None) -> bool:
    """Whether it is a container of them."""
    return isinstance(annotation, ast.Subscript) and any(
        says_path(each) for each in ast.walk(annotation.slice) if isinstance(each, ast.expr)
    )


@cache
def path_makers() -> tuple[frozenset[str], frozenset[str]]:
    """Attributes that are paths everywhere, functions that return one."""
    attributes, others, functions = set(), set(), set()
    for module in modules():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef):
                for each in node.body:
                    if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
                        (attributes if says_path(each.annotation) else others).add(each.target.id)
                    elif isinstance(each, ast.FunctionDef) and "property" in map(
                        ast.unparse, each.decorator_list
                    ):
                        (attributes if says_path(each.returns) else others).add(each.name)
            elif isinstance(node, ast.FunctionDef) and says_path(node.returns):
                functions.add(node.name)
    return frozenset(attributes - others), frozenset(functions)


class Scope:
    """What the names of one function hold."""

    def __init__(self, function: ast.AST) -> None:
        self.paths, self.containers = set(), set()
        for node in ast.walk(function):
            match node:
                case ast.arg(arg=name, annotation=annotation):
                    self._take(name, annotation)
                case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation):
                    self._take(name, annotation)
        for _ in range(3):  # a path made of a path made of a path
            for node in ast.walk(function):
                match node:
                    case ast.Assign(targets=[ast.Name(id=name)], value=value):
                        if self.is_path(value):
                            self.paths.add(name)
                    case (
                        ast.comprehension(target=ast.Name(id=name), iter=each)
                        | ast.For(target=ast.Name(id=name), iter=each)
                    ):
                        if self.gives_paths(each):
                            self.paths.add(name)

    def _take(self, name: str, annotation: ast.expr | None) -> None:
        if says_path(annotation):
            self.paths.add(name)
        elif holds_paths(annotation):
            self.containers.add(name)

    def is_path(self, node: ast.expr) -> bool:
        attributes, functions = path_makers()
        match node:
            case ast.Name(id=name):
                return name in self.paths
            case ast.Attribute(value=value, attr="parent"):
                return self.is_path(value)
            case ast.Attribute(attr=name):
                return name in attributes
            case ast.BinOp(left=left, op=ast.Div()):
                return self.is_path(left)
            case ast.Call(func=ast.Name(id=name)):
                return name == "Path" or name in functions
            case ast.Call(func=ast.Attribute(value=value, attr=name)):
                return name in ARITHMETIC and self.is_path(value)
            case ast.IfExp(body=body, orelse=orelse):
                return self.is_path(body) or self.is_path(orelse)
        return False

    def gives_paths(self, node: ast.expr) -> bool:
        match node:
            case ast.Name(id=name):
                return name in self.containers
            case ast.Call(func=ast.Attribute(value=value, attr="iterdir" | "glob" | "rglob")):
                return self.is_path(value)
            case ast.Call(func=ast.Name(id="sorted" | "list" | "set"), args=[first, *_]):
                return self.gives_paths(first)
            case ast.Tuple(elts=elements) | ast.List(elts=elements):
                return any(self.is_path(each) for each in elements)
        return False


class Touches:
    """What one module does to files, by its line."""

    def __init__(self, module: Module, verbs: frozenset[str]) -> None:
        self.module, self.verbs = module, verbs

    @cached_property
    def imported(self) -> set[str]:
        """Names of modules: what is asked of them is no method of a path."""
        return {
            (alias.asname or alias.name).split(".")[0]
            for node in ast.walk(self.module.tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        } - {"Path"}

    def findings(self) -> Iterator[str]:
        # Nested functions are walked with the outermost one: its names are theirs as well.
        for node in self.module.tree.body:
            methods = node.body if isinstance(node, ast.ClassDef) else [node]
            for each in methods:
                scope = Scope(each)
                for inner in ast.walk(each):
                    what = self._touch(inner, scope)
                    if what:
                        yield self.module.at(inner, what)

    def _touch(self, node: ast.AST, scope: Scope) -> str | None:
        match node:
            case ast.ImportFrom(module=name, names=names) if name in FREE:
                taken = {each.name for each in names} - FREE[name] - {"path"}
                return f"from {name} import {', '.join(sorted(taken))}" if taken else None
            case ast.Attribute(value=value, attr=name) if ast.unparse(value) in FREE:
                family = ast.unparse(value)
                nested = f"{family}.{name}" in FREE
                return None if nested or name in FREE[family] else f"{family}.{name}"
            case ast.Call(func=ast.Name(id="open")) if "open" not in self.imported:
                return "open()"
            case ast.Call(func=ast.Attribute() as function, args=arguments):
                return self._call(function, arguments, scope)
        return None

    def _call(self, function: ast.Attribute, arguments: list[ast.expr], scope: Scope) -> str | None:
        name, receiver = function.attr, function.value
        dotted = ast.unparse(function)
        if dotted in LIBRARIES or (name in WRITERS and arguments and scope.is_path(arguments[0])):
            return None if self.module.within("io") else f"{dotted}() takes a path"
        if name not in METHODS:
            return None
        certain = scope.is_path(receiver) or ast.unparse(receiver) == "Path"
        alone = name not in COMMON | self.verbs
        if certain or (alone and not self._is_module(receiver)):
            return f".{name}()"
        return None

    def _is_module(self, receiver: ast.expr) -> bool:
        return isinstance(receiver, ast.Name) and receiver.id in self.imported


@pytest.mark.slow
def test_only_the_storage_touches_files():
    report(
        "Only bkgflow/io/storage may touch the file system: ask a Location, or publish:",
        (
            each
            for module in modules()
            if not module.within("io/storage")
            for each in Touches(module, verbs_of_the_storage()).findings()
        ),
    )


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("open('x')", 1),
        ("p.read_text()", 1),
        ("(p / 'y').exists()", 1),
        ("q = p.parent / 'y'; q.stat()", 1),
        ("[each.unlink() for each in many]", 1),
        ("os.path.realpath(p)", 1),
        ("os.replace(p, p)", 1),
        ("shutil.copy(p, p)", 1),
        ("p.rename('y')", 1),
        ("Path(text).is_file()", 1),
        ("Path.cwd()", 1),
        ("figure.savefig(p)", 1),
        ("figure.savefig(stream)", 0),
        ("text.replace('a', 'b')", 0),
        ("data.rename({'a': 'b'})", 0),
        ("location.exists()", 0),
        ("location.open()", 0),
        ("os.fspath(p), os.cpu_count(), os.path.basename(text)", 0),
        ("Path(text).with_name('y').parent.name", 0),
        ("logging.FileHandler(p)", 0),
        ("gzip.GzipFile(fileobj=stream)", 0),
    ],
)
def test_what_touches_a_file(line: str, found: int, tmp_path):
    source = tmp_path / "x.py"
    source.write_text(
        "import os, shutil, gzip, logging\n"
        "from pathlib import Path\n"
        "def f(p: Path, many: list[Path], text: str, location, stream, data, figure):\n"
        f"    {line}\n"
    )
    module = Module(source)
    module.__dict__.update({"name": "x.py", "room": "kinds/x"})
    assert len(list(Touches(module, frozenset({"exists", "open"})).findings())) == found
