"""Charts as SVG, written by hand: three kinds of axes, lines and stacked bars need no library; pure."""
