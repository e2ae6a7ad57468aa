// A dashboard with Grafana's own components: panel chrome, graphs, big values, tables, value formats, colours.
import * as React from 'react';
import { createRoot } from 'react-dom/client';
import {
  applyFieldOverrides, createTheme, dateTime, FieldColorModeId, FieldType, getDisplayValueAlignmentFactors, getFieldDisplayValues,
  LoadingState, standardFieldConfigEditorRegistry, ThemeContext, toDataFrame,
} from '@grafana/data';
import {
  BigValue, BigValueColorMode, BigValueGraphMode, BigValueJustifyMode, BigValueTextMode, PanelChrome, Table, TimeSeries,
  GlobalStyles,
} from '@grafana/ui';

// The options that every kind of panel has. Their editors are part of Grafana itself; values are taken as they are.
const OPTIONS = ['unit', 'min', 'max', 'decimals', 'displayName', 'color', 'thresholds', 'mappings', 'noValue', 'links'];
standardFieldConfigEditorRegistry.setInit(() => OPTIONS.map((id) => ({
  id, path: id, name: id, description: '', settings: {}, editor: () => null, override: () => null, process: (value) => value,
  shouldApply: () => true,
})));

const UNIT = 34;
const GAP = 8;
const WIDTH = 1200;
const theme = createTheme({ colors: { mode: 'light' } });
// What Grafana's panel of time series has where the dashboard says nothing.
const LINES = {
  drawStyle: 'line', lineInterpolation: 'linear', gradientMode: 'none', barAlignment: 0, pointSize: 5, axisPlacement: 'auto', axisLabel: '',
  axisColorMode: 'text', axisBorderShow: false, scaleDistribution: { type: 'linear' }, axisCenteredZero: false,
  hideFrom: { legend: false, tooltip: false, viz: false }, thresholdsStyle: { mode: 'off' }, stacking: { mode: 'none', group: 'A' },
};

const named = (legend, metric) => legend.replace(/{{\s*(\w+)\s*}}/g, (_, label) => metric[label] ?? '').trim();
const number = (text) => (Number.isFinite(Number(text)) ? Number(text) : null);

function framesOf(panel, times) {
  return panel.targets.flatMap((target) => (target.series ?? []).map((one) => {
    const values = new Map((one.values ?? [one.value]).map(([at, value]) => [Math.round(at * 1000), number(value)]));
    const name = named(target.legendFormat || '', one.metric) || panel.title;
    return toDataFrame({
      refId: target.refId,
      fields: [
        { name: 'Time', type: FieldType.time, values: one.values ? times : [...values.keys()] },
        { name: 'Value', type: FieldType.number, values: one.values ? times.map((at) => values.get(at) ?? null) : [...values.values()],
          config: { displayNameFromDS: name } },
      ],
    });
  }));
}

function withOverrides(panel, frames) {
  const { defaults, overrides } = panel.fieldConfig;
  const shown = { color: { mode: FieldColorModeId.PaletteClassic }, ...defaults };
  if (panel.type === 'timeseries') { shown.custom = { ...LINES, ...defaults.custom }; }
  const found = applyFieldOverrides({
    data: frames, fieldConfig: { defaults: shown, overrides: overrides ?? [] }, replaceVariables: (text) => text, theme, timeZone: 'utc',
  });
  // The editors of a panel's own options are its plugin's, and not in the libraries.
  for (const frame of found) {
    for (const field of frame.fields) {
      if (panel.type === 'timeseries' && field.type === FieldType.number) { field.config.custom = shown.custom; }
    }
  }
  return found;
}

function Graph({ panel, data, width, height }) {
  const start = Math.round(data.from * 1000);
  const times = [...new Set(panel.targets.flatMap((target) => (target.series ?? []).flatMap((one) => one.values.map(([at]) => Math.round(at * 1000)))))];
  times.sort((one, other) => one - other);
  const frames = withOverrides(panel, framesOf(panel, times));
  if (frames.length === 0) { return <div className="nothing">No data</div>; }
  const range = { from: dateTime(start), to: dateTime(data.to * 1000), raw: { from: dateTime(start), to: dateTime(data.to * 1000) } };
  const legend = { ...panel.options.legend, calcs: [] };
  return <TimeSeries frames={frames} width={width} height={height} timeRange={range} timeZone="utc" legend={legend} options={panel.options} />;
}

function Tile({ panel, data, width, height }) {
  const times = (panel.targets[0].series[0]?.values ?? []).map(([at]) => Math.round(at * 1000));
  const frames = withOverrides(panel, framesOf(panel, times));
  const [value] = getFieldDisplayValues({
    data: frames, fieldConfig: panel.fieldConfig, reduceOptions: panel.options.reduceOptions, replaceVariables: (text) => text, theme, sparkline: true,
    timeZone: 'utc',
  });
  if (!value) { return <div className="nothing">No data</div>; }
  return (
    <BigValue
      value={{ ...value.display, title: undefined }} width={width} height={height} theme={theme} sparkline={value.sparkline} colorMode={BigValueColorMode.Value}
      graphMode={BigValueGraphMode.Area} justifyMode={BigValueJustifyMode.Auto} textMode={BigValueTextMode.Value} count={1}
      alignmentFactors={getDisplayValueAlignmentFactors([value])}
    />
  );
}

function Rows({ panel, width, height }) {
  const organize = panel.transformations.find((one) => one.id === 'organize').options;
  const labels = Object.keys(organize.indexByName).filter((name) => !Object.values(organize.renameByName).includes(name) && !name.startsWith('Value #'));
  const names = panel.targets.map((target) => organize.renameByName[`Value #${target.refId}`]);
  const rows = new Map();
  panel.targets.forEach((target, column) => target.series.forEach((one) => {
    const key = JSON.stringify(labels.map((label) => one.metric[label] ?? ''));
    if (!rows.has(key)) { rows.set(key, names.map(() => null)); }
    rows.get(key)[column] = number(one.value[1]);
  }));
  const keys = [...rows.keys()].map((key) => JSON.parse(key));
  const frame = toDataFrame({
    fields: [
      ...labels.map((name, at) => ({ name, type: FieldType.string, values: keys.map((key) => key[at]) })),
      ...names.map((name, at) => ({ name, type: FieldType.number, values: [...rows.values()].map((row) => row[at]) })),
    ],
  });
  const [shown] = withOverrides(panel, [frame]);
  return <Table data={shown} width={width} height={height} />;
}

const KINDS = { timeseries: Graph, stat: Tile, table: Rows };

function Board({ board, data }) {
  const unit = (WIDTH - GAP) / 24;
  const bottom = Math.max(...board.panels.map((panel) => panel.gridPos.y + panel.gridPos.h));
  return (
    <div style={{ position: 'relative', width: WIDTH, height: bottom * UNIT + 56, background: theme.colors.background.canvas }} id="board">
      <h3 style={{ padding: '12px 16px', margin: 0 }}>{board.title}</h3>
      {board.panels.map((panel) => {
        const { x, y, w, h } = panel.gridPos;
        const place = { position: 'absolute', left: x * unit + GAP, top: y * UNIT + 52, width: w * unit - GAP, height: h * UNIT - GAP };
        if (panel.type === 'row') {
          return <div key={panel.id} style={{ ...place, fontWeight: 500, paddingTop: 6, color: theme.colors.text.primary }}>{panel.title}</div>;
        }
        const Kind = KINDS[panel.type];
        return (
          <div key={panel.id} style={place}>
            <PanelChrome title={panel.title} width={place.width} height={place.height} loadingState={LoadingState.Done}>
              {(width, height) => <Kind panel={panel} data={data} width={width} height={height} />}
            </PanelChrome>
          </div>
        );
      })}
    </div>
  );
}

const { board, data } = window.picture;
createRoot(document.getElementById('root')).render(
  <ThemeContext.Provider value={theme}>
    <GlobalStyles />
    <Board board={board} data={data} />
  </ThemeContext.Provider>,
);
