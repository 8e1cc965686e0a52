"""A network as a chain: its droppable blocks and what precedes, separates and follows them, each a module by itself.

A chain is what a runtime without Python needs: it may run or skip each block between two pieces that always run.
"""

# U droppable blocks; stages are what runs between them
from collections.abc import Iterator
from typing import NoReturn

from torch import fx, nn

from modicum.classify.blockdrop.droppable import DroppableBlock
from modicum.exporting.parity import ExportError


def cut_into_chain(backbone: nn.Module) -> list[nn.Module]:
    """Cuts ``backbone`` into modules that give its output when run one after the other.

    The network's code is traced; each droppable block, and each module that contains none, is one operation.

    Args:
        backbone: A network with droppable blocks, each run once; its parameters are shared with the result.

    Returns:
        The droppable blocks in the order in which they run and, between them, the pieces that always run, if any.

    Raises:
        ExportError: If the network's code cannot be traced, or its blocks do not follow one another: some value
            reaches past a block.
    """
    name = type(backbone).__name__
    try:
        graph = _BlockTracer().trace(backbone)
    except Exception as error:  # tracing runs the network's own code on stand-ins, which may raise anything
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ExportError(
            f"backbone {name} cannot be cut at its blocks, because its code cannot be traced: {reason}"
        ) from error
    chain: list[nn.Module] = []
    for stage in _stages(graph, backbone):
        piece = stage.piece(backbone)
        chain += [part for part in (piece, stage.block) if part is not None]
    return chain


class _BlockTracer(fx.Tracer):
    """Looks into modules only as far as they hold droppable blocks, so that nothing else can spoil the trace."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, DroppableBlock) or not any(isinstance(part, DroppableBlock) for part in m.modules())


class _Stage:
    """The operations between one block and the next, or the network's end.

    Args:
        entry: The value that they start from: the images, or the output of the block before.
    """

    def __init__(self, entry: fx.Node) -> None:
        self.entry = entry
        self.nodes: list[fx.Node] = []
        self.exit = entry  # the value that the block behind, or the caller, gets
        self.block: nn.Module | None = None  # the block behind

    def piece(self, backbone: nn.Module) -> nn.Module | None:
        """Returns the operations as a module, or None if there are none."""
        if self.exit is self.entry:
            return None
        graph = fx.Graph()
        copies = {self.entry: graph.placeholder("x")}

        def copied(node: fx.Node) -> fx.Node:
            if node not in copies:  # a parameter or buffer: all else comes in order
                copies[node] = graph.node_copy(node)
            return copies[node]

        for node in self.nodes:
            copies[node] = graph.node_copy(node, copied)
        graph.output(copies[self.exit])
        return fx.GraphModule(backbone, graph)


def _stages(graph: fx.Graph, backbone: nn.Module) -> Iterator[_Stage]:
    """Yields the stages of the network in order; the last does not end in a block."""
    entry = _images(graph, backbone)
    stage, known = _Stage(entry), {entry}  # what operations of this stage may read, parameters aside
    for node in graph.nodes:
        if node.op in ("placeholder", "get_attr"):
            continue
        if strangers := [value for value in node.all_input_nodes if value not in known and value.op != "get_attr"]:
            _refuse(backbone, f"{node.name} reads {strangers[0].name}, past {stage.entry.name}")
        block = backbone.get_submodule(str(node.target)) if node.op == "call_module" else None
        if isinstance(block, DroppableBlock) or node.op == "output":
            stage.exit, stage.block = _only_value(node, backbone), block
            yield stage
            stage, known = _Stage(node), {node}
        else:
            stage.nodes.append(node)
            known.add(node)


def _images(graph: fx.Graph, backbone: nn.Module) -> fx.Node:
    inputs = [node for node in graph.nodes if node.op == "placeholder" and node.users]
    if len(inputs) != 1:
        _refuse(backbone, f"it takes {len(inputs)} inputs")
    images: fx.Node = inputs[0]
    return images


def _only_value(node: fx.Node, backbone: nn.Module) -> fx.Node:
    value = node.args[0] if len(node.args) == 1 and not node.kwargs else None
    if not isinstance(value, fx.Node):
        _refuse(backbone, f"{node.name} takes more than one value")
    return value


def _refuse(backbone: nn.Module, reason: str) -> NoReturn:
    raise ExportError(
        f"backbone {type(backbone).__name__} cannot be cut at its blocks: {reason}; only networks whose blocks follow "
        "one another, each reading nothing but what the one before has made, can be exported"
    )
